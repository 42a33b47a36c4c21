//! The fixture.

use std::any::type_name;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::runtime::Builder;
use tokio::time::timeout;

use crate::artifacts::prepare;
use crate::patience::limit_per_test;
use crate::{ControlPlane, Envoy, Link, Member, Mode, Scratch, Settings, eventually};

/// Hands out everything that an end-to-end test needs, and ends it all with the
/// test.
#[derive(Debug)]
pub struct TestEnvironment {
    envoys: Vec<Envoy>,
    members: Vec<Member>,
    control_planes: usize,
    faults_expected: Arc<AtomicBool>,
    crashes_expected: bool,
    /// Last, so that it is removed when nobody writes there any more.
    scratch: Scratch,
}

impl TestEnvironment {
    /// Runs a test: with a limit in time, with a look at every Envoy before it
    /// is killed or the test ends (nothing rejected, no filter failed), and in
    /// the end at what every member has seen (no epoch went back).
    ///
    /// # Panics
    /// If the test fails.
    pub fn run<F>(test: F)
    where
        F: AsyncFnOnce(&mut Self) -> Result<()>,
    {
        Self::run_within(limit_per_test(), test);
    }

    /// The same with another limit.
    ///
    /// # Panics
    /// If the test fails.
    pub fn run_within<F>(limit: Duration, test: F)
    where
        F: AsyncFnOnce(&mut Self) -> Result<()>,
    {
        prepare();
        let test = async |environment: &mut Self| {
            timeout(limit, test(environment))
                .await
                .with_context(|| format!("the test takes more than {limit:?}"))??;
            environment.check().await
        };
        if let Err(error) = Self::open(name_of::<F>(), test) {
            panic!("{error:?}");
        }
    }

    /// Opens an environment of that name for something that is no test, for as
    /// long as it takes.
    pub fn open<F>(name: &str, body: F) -> Result<()>
    where
        F: AsyncFnOnce(&mut Self) -> Result<()>,
    {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        runtime.block_on(async {
            let mut environment = Self {
                envoys: Vec::new(),
                members: Vec::new(),
                control_planes: 0,
                faults_expected: Arc::default(),
                crashes_expected: false,
                scratch: Scratch::new(name)?,
            };
            let result = body(&mut environment).await;
            if result.is_err() {
                environment.scratch.keep();
            }
            result
        })
    }

    /// A folder of the test's own.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.scratch.path()
    }

    /// Starts that many members, named `yorkie-0` and so on.
    pub async fn members(&mut self, count: usize) -> Result<Vec<Member>> {
        let mut members = Vec::new();
        for number in 0..count {
            members.push(self.member(format!("yorkie-{number}")).await?);
        }
        Ok(members)
    }

    /// Starts a member of that id; several may share one.
    pub async fn member(&mut self, id: impl Into<String>) -> Result<Member> {
        let member = Member::start(id).await?;
        self.members.push(member.clone());
        Ok(member)
    }

    /// Starts that many members at one port of different addresses, each with
    /// its address as its id: as containers behind one name have it.
    pub async fn members_at_one_port(&mut self, count: u8) -> Result<Vec<Member>> {
        let members = eventually("at one port", async || {
            let mut members: Vec<Member> = Vec::new();
            for number in 1..=count {
                let port = members
                    .first()
                    .map_or(0, |first| first.entry(1).address.port());
                let started = Member::start_at(([127, 0, 0, number], port).into()).await;
                if started.is_err() {
                    members.iter().for_each(Member::stop);
                }
                members.push(started?);
            }
            Ok(members)
        });
        let members = members.await?;
        self.members.extend(members.iter().cloned());
        Ok(members)
    }

    /// Starts a control plane.
    pub async fn control_plane(&mut self, settings: Settings) -> Result<ControlPlane> {
        let folder = format!("control-plane-{}", self.control_planes);
        self.control_planes += 1;
        ControlPlane::start(self.scratch.path().join(folder), settings).await
    }

    /// Starts an Envoy that is served by that control plane.
    pub async fn envoy(&mut self, control_plane: &ControlPlane, mode: Mode) -> Result<Envoy> {
        let name = format!("envoy-{}", self.envoys.len());
        let bootstrap = control_plane.bootstrap(mode, &name).await?;
        self.envoy_of_bootstrap(&bootstrap).await
    }

    /// Starts one that reaches the control plane through that link.
    pub async fn envoy_through(
        &mut self,
        link: &Link,
        control_plane: &ControlPlane,
        mode: Mode,
    ) -> Result<Envoy> {
        let name = format!("envoy-{}", self.envoys.len());
        let address = link.address();
        let bootstrap = control_plane
            .bootstrap_through(address, mode, &name)
            .await?;
        self.envoy_of_bootstrap(&bootstrap).await
    }

    /// Starts an Envoy with a bootstrap of the test's own.
    pub async fn envoy_of_bootstrap(&mut self, bootstrap: &str) -> Result<Envoy> {
        let name = format!("envoy-{}", self.envoys.len());
        let faults_expected = self.faults_expected.clone();
        let envoy = Envoy::start(&name, self.scratch.path(), bootstrap, faults_expected).await?;
        self.envoys.push(envoy.clone());
        Ok(envoy)
    }

    /// Lets this test provoke faults in its Envoys: from here on they are not
    /// looked at.
    pub fn expect_faults(&self) {
        self.faults_expected.store(true, Ordering::Relaxed);
    }

    /// Lets this test crash the filters of its Envoys, too.
    pub fn expect_crashes(&mut self) {
        self.expect_faults();
        self.crashes_expected = true;
    }

    async fn check(&self) -> Result<()> {
        for envoy in &self.envoys {
            envoy.expect_healthy().await?;
        }
        let backwards = self.members.iter().find(|member| member.epoch_went_back());
        ensure!(backwards.is_none(), "an epoch went back: {backwards:?}");
        let envoys = self.envoys.iter().filter(|_| self.crashes_expected);
        let spared: Vec<_> = envoys.map(Envoy::name).collect();
        expect_no_panics(self.scratch.path(), &spared)
    }
}

/// The function around the closure `F`: `file::test` of `file::test::{{closure}}`.
fn name_of<F>() -> &'static str {
    let name = type_name::<F>();
    name.split_once("::{{")
        .map_or(name, |(function, _)| function)
}

/// Looks at all logs but those of the processes that are `spared`.
fn expect_no_panics(folder: &Path, spared: &[&str]) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_stem().and_then(OsStr::to_str);
        let is_spared = name.is_some_and(|name| spared.contains(&name));
        if path.is_dir() {
            expect_no_panics(&path, spared)?;
        } else if !is_spared && path.extension().is_some_and(|extension| extension == "log") {
            let log = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
            let panic = log.lines().find(|line| line.contains("panicked at"));
            ensure!(panic.is_none(), "{}: {panic:?}", path.display());
        }
    }
    Ok(())
}
