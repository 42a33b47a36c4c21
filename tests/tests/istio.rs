//! The files of `envoy/istio/`: what they tell the filter, and what a stock
//! Envoy does with filter, routes and balancing like that. Istio itself is not
//! here: how it would translate the files is written down in this test.

use std::fs;
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use sharding::{
    Assignment, FilterConfig, Kind, Member as Entry, Policy, SHARD_EPOCH, SHARD_KEY, SHARD_OWNER,
};
use yorkies_tests::{
    Client, Envoy, Member, Mode, Protocol, Request, Router, Rpc, Settings, TestEnvironment,
    assignment, filter_module, keys, workspace,
};

const PUSH_PULL: &str = "/yorkie.v1.YorkieService/PushPullChanges";
const WATCH: &str = "/yorkie.v1.YorkieService/Watch";
const PROJECT: &str = "abcdefghij0123456789AB";
const ORIGIN: &str = "https://editor.example";

/// What the files leave to their reader.
const PLACEHOLDERS: [&str; 2] = [
    "PUBLIC-KEY-OF-THE-PROJECT-DEFAULT",
    "/var/lib/yorkies/yorkies-filter-HASH.wasm",
];

#[test]
fn the_filter_accepts_what_the_files_tell_it_and_is_in_key_only_mode() -> Result<()> {
    for json in [configuration_of_filter()?, configuration_of_plugin()?] {
        let decoded = FilterConfig::from_json(json.as_bytes())?;
        ensure!(decoded.ignored.is_empty(), "{:?}", decoded.ignored);
        ensure!(decoded.config.assignment().is_none(), "it has members");
        ensure!(decoded.config.report_to.is_none(), "it reports to nobody");
    }
    Ok(())
}

#[test]
fn every_spelling_and_place_of_a_key_leads_to_the_server_that_is_hashed_for_it() {
    TestEnvironment::run(async |env| {
        let members = env.members(4).await?;
        let envoy = start(env, &members, Some(filter()?)).await?;
        let expected = by_address(&members)?;
        for client in [
            envoy.client(Protocol::H2c).await?,
            envoy.client(Protocol::Http1).await?,
        ] {
            for key in keys(200) {
                let request = Request::of_key(&key)?
                    .header(SHARD_EPOCH, "999")?
                    .header(SHARD_OWNER, "me")?;
                let answer = client.send(&request).await?.answer()?;
                ensure!(answer.address == owner(&expected, &key)?, "{answer:?}");
                ensure!(answer.epoch()? == 1 && answer.all(SHARD_OWNER).is_empty());
            }
            // The same document, as others spell it or put it into the message alone.
            let key = format!("{PROJECT}/document");
            let odd = Request::of_key(format!("{PROJECT}/d%6fcument"))?;
            let bare = Request::of_key("/document")?;
            let in_message = push_pull()?.header("x-api-key", PROJECT)?;
            for request in [odd, bare, in_message] {
                let answer = client.send(&request).await?.answer()?;
                ensure!(answer.key()? == key, "{answer:?}");
                ensure!(answer.address == owner(&expected, &key)?, "{answer:?}");
            }
        }
        Ok(())
    });
}

#[test]
fn a_browser_gets_preflights_and_refusals_and_nobody_passes_the_filter_by() {
    TestEnvironment::run(async |env| {
        let members = env.members(2).await?;
        let envoy = start(env, &members, Some(filter()?)).await?;
        let client = envoy.client(Protocol::H2c).await?;
        let before = requests(&members);
        let preflight = Request::new(Method::OPTIONS, PUSH_PULL)
            .header("origin", ORIGIN)?
            .header("access-control-request-method", "POST")?
            .header("access-control-request-headers", SHARD_KEY)?;
        let reply = client.send(&preflight).await?;
        ensure!(reply.status == StatusCode::OK, "{reply:?}");
        ensure!(reply.header("access-control-allow-origin")? == ORIGIN);
        let refused = Request::new(Method::GET, "/document").header("origin", ORIGIN)?;
        let reply = client.send(&refused).await?;
        ensure!(reply.status == StatusCode::BAD_REQUEST, "{reply:?}");
        ensure!(reply.header("access-control-allow-origin")? == ORIGIN);
        ensure!(requests(&members) == before, "a member got one of them");

        let without = start(env, &members, None).await?;
        let client = without.client(Protocol::H2c).await?;
        let reply = client.send(&Request::of_key("project/document")?).await?;
        ensure!(reply.status == StatusCode::SERVICE_UNAVAILABLE, "{reply:?}");
        ensure!(requests(&members) == before, "a member got it");
        Ok(())
    });
}

#[test]
fn beside_a_control_plane_whose_members_have_no_ids_the_owners_are_the_same() {
    TestEnvironment::run(async |env| {
        let members = env.members(5).await?;
        let by_address = by_address(&members)?;
        let entries = by_address.roster().members().to_vec();
        let router = Router::start(env, Settings::default(), Mode::Delta, entries).await?;
        let gateway = start(env, &members, Some(filter()?)).await?;
        let gateway = gateway.client(Protocol::H2c).await?;
        for key in keys(500) {
            let request = Request::of_key(&key)?;
            let ours = router.h2c.send(&request).await?.answer()?;
            let theirs = gateway.send(&request).await?.answer()?;
            ensure!(ours.address == theirs.address, "{ours:?} {theirs:?}");
        }
        Ok(())
    });
}

#[test]
fn as_a_plugin_it_takes_keys_from_headers_and_refuses_for_now_what_needs_its_message() {
    TestEnvironment::run(async |env| {
        let members = env.members(3).await?;
        let envoy = start(env, &members, Some(plugin()?)).await?;
        let expected = by_address(&members)?;
        let client = envoy.client(Protocol::H2c).await?;
        for key in keys(50) {
            let answer = client.send(&Request::of_key(&key)?).await?.answer()?;
            ensure!(answer.address == owner(&expected, &key)?, "{answer:?}");
        }
        // Whether a dotted name is a document or a channel is in the message too.
        let dotted = Rpc::ConnectJson
            .call(WATCH, Kind::Unary, &[])?
            .header(SHARD_KEY, "project/a.b")?;
        for request in [push_pull()?.header("x-api-key", PROJECT)?, dotted] {
            let reply = client.send(&request).await?;
            ensure!(reply.status == StatusCode::SERVICE_UNAVAILABLE, "{reply:?}");
            ensure!(reply.text().contains("did not come in time"), "{reply:?}");
        }
        Ok(())
    });
}

fn push_pull() -> Result<Request> {
    let field = "change_pack=3.document_key=1".parse()?;
    Rpc::ConnectJson.call(PUSH_PULL, Kind::Unary, &[(&field, "document")])
}

fn requests(members: &[Member]) -> u64 {
    members.iter().map(Member::requests).sum()
}

/// Istio gives endpoints no hash key, so their addresses are hashed.
fn by_address(members: &[Member]) -> Result<Assignment> {
    let entry = |member: &Member| {
        let address = member.entry(1).address;
        Entry::new(address.to_string(), address, 1)
    };
    assignment(Policy::default(), members.iter().map(entry).collect())
}

fn owner(expected: &Assignment, key: &str) -> Result<SocketAddr> {
    let owner = expected.owner(key.as_bytes()).context("no member")?;
    Ok(owner.member.address)
}

/// The filter of `filter.yaml`.
fn filter() -> Result<Value> {
    let mut config = of_filter()?["typed_config"].take();
    let value = configuration_of_filter()?.replace(PLACEHOLDERS[0], PROJECT);
    config["config"]["configuration"]["value"] = value.into();
    let file = &mut config["config"]["vm_config"]["code"]["local"]["filename"];
    ensure!(*file == PLACEHOLDERS[1], "{file}");
    *file = filter_module()?.to_string_lossy().into();
    Ok(config)
}

/// The filter as Istio makes it of `wasm-plugin.yaml` (its `pilot/pkg/model/extensions.go`).
fn plugin() -> Result<Value> {
    let spec = documents("wasm-plugin.yaml")?.remove(0)["spec"].take();
    ensure!(spec["url"] == format!("file://{}", PLACEHOLDERS[1]));
    Ok(json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
        "config": {
            "name": "yorkie.yorkies",
            "failure_policy": spec["failStrategy"],
            "vm_config": {
                "runtime": "envoy.wasm.runtime.v8",
                "code": { "local": { "filename": filter_module()?.to_string_lossy() } },
            },
            "configuration": {
                "@type": "type.googleapis.com/google.protobuf.StringValue",
                "value": configuration_of_plugin()?.replace(PLACEHOLDERS[0], PROJECT),
            },
        },
    }))
}

fn configuration_of_filter() -> Result<String> {
    let filter = of_filter()?;
    let json = filter["typed_config"]["config"]["configuration"]["value"].as_str();
    Ok(json.context("no configuration")?.to_owned())
}

fn configuration_of_plugin() -> Result<String> {
    Ok(documents("wasm-plugin.yaml")?[0]["spec"]["pluginConfig"].to_string())
}

/// The first patch of `filter.yaml`.
fn of_filter() -> Result<Value> {
    let mut file = documents("filter.yaml")?.remove(0);
    let patch = &mut file["spec"]["configPatches"][0];
    ensure!(patch["applyTo"] == "EXTENSION_CONFIG", "{patch}");
    Ok(patch["patch"]["value"].take())
}

fn documents(file: &str) -> Result<Vec<Value>> {
    let text = fs::read_to_string(workspace().join("envoy/istio").join(file))?;
    text.split("\n---\n")
        .map(|document| Ok(serde_saphyr::from_str(document)?))
        .collect()
}

async fn start(
    env: &mut TestEnvironment,
    members: &[Member],
    filter: Option<Value>,
) -> Result<Envoy> {
    let envoy = env.envoy_of_bootstrap(&bootstrap(members, filter)?).await?;
    let client: Client = envoy.client(Protocol::H2c).await?;
    client.send(&Request::new(Method::GET, "/document")).await?;
    Ok(envoy)
}

/// A gateway with the routes and the balancing of `routes.yaml`.
fn bootstrap(members: &[Member], filter: Option<Value>) -> Result<String> {
    let files = documents("routes.yaml")?;
    let [service, rule] = &files[..] else {
        anyhow::bail!("expected a VirtualService and a DestinationRule");
    };
    let routes: Vec<HttpRoute> = serde_json::from_value(service["spec"]["http"].clone())?;
    let hash = &rule["spec"]["trafficPolicy"]["loadBalancer"]["consistentHash"];
    let routes: Vec<Value> = routes.iter().map(|route| route.of_envoy(hash)).collect();
    let named = |name: &str, config: Value| json!({ "name": name, "typed_config": config });
    let of_type = |path: &str| json!({ "@type": format!("type.googleapis.com/envoy.extensions.filters.{path}") });
    let mut filters = vec![
        named(
            "envoy.filters.http.grpc_web",
            of_type("http.grpc_web.v3.GrpcWeb"),
        ),
        named("envoy.filters.http.cors", of_type("http.cors.v3.Cors")),
    ];
    filters.extend(filter.map(|filter| named("yorkies", filter)));
    filters.push(named(
        "envoy.filters.http.router",
        of_type("http.router.v3.Router"),
    ));
    let mut manager = of_type("network.http_connection_manager.v3.HttpConnectionManager");
    manager["stat_prefix"] = "gateway".into();
    manager["http_filters"] = filters.into();
    manager["route_config"] = json!({
        "validate_clusters": false,
        "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": routes }],
    });
    let socket = |address: SocketAddr| json!({ "socket_address": { "address": address.ip(), "port_value": address.port() } });
    let free = socket(SocketAddr::from(([127, 0, 0, 1], 0)));
    let endpoints: Vec<Value> = members
        .iter()
        .map(|member| json!({ "endpoint": { "address": socket(member.entry(1).address) } }))
        .collect();
    let bootstrap = json!({
        "node": { "id": "gateway", "cluster": "yorkie-gateway" },
        "admin": { "address": free },
        "static_resources": {
            "listeners": [{
                "name": "gateway",
                "address": free,
                "filter_chains": [{ "filters": [
                    named("envoy.filters.network.http_connection_manager", manager),
                ] }],
            }],
            "clusters": [{
                "name": "yorkie",
                "type": "STATIC",
                "lb_policy": "MAGLEV",
                "maglev_lb_config": { "table_size": hash["maglev"]["tableSize"] },
                "load_assignment": {
                    "cluster_name": "yorkie",
                    "endpoints": [{ "lb_endpoints": endpoints }],
                },
                "typed_extension_protocol_options": {
                    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                        "explicit_http_config": { "http2_protocol_options": {} },
                    },
                },
            }],
        },
    });
    Ok(bootstrap.to_string())
}

/// What Istio makes a route of, as far as the file uses it.
#[derive(Deserialize)]
struct HttpRoute {
    name: String,
    #[serde(default)]
    r#match: Vec<Value>,
    #[serde(rename = "route")]
    to: Vec<Value>,
    #[serde(rename = "corsPolicy")]
    cors: Value,
}

impl HttpRoute {
    fn of_envoy(&self, hash: &Value) -> Value {
        let headers = self.r#match.iter().filter_map(|m| m["headers"].as_object());
        // Without a value to match the header has to be there.
        let headers: Vec<Value> = headers
            .flat_map(|headers| headers.keys())
            .map(|name| json!({ "name": name, "present_match": true }))
            .collect();
        let list = |name: &str| {
            let values = self.cors[name].as_array().into_iter().flatten();
            let texts: Vec<_> = values.filter_map(Value::as_str).collect();
            texts.join(",")
        };
        json!({
            "name": self.name,
            "match": { "prefix": "/", "headers": headers },
            "route": {
                "cluster": self.to[0]["destination"]["host"],
                "timeout": "0s",
                "hash_policy": [{ "header": { "header_name": hash["httpHeaderName"] } }],
            },
            "typed_per_filter_config": { "envoy.filters.http.cors": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy",
                "allow_origin_string_match": [
                    { "safe_regex": { "regex": self.cors["allowOrigins"][0]["regex"] } },
                ],
                "allow_methods": list("allowMethods"),
                "allow_headers": list("allowHeaders"),
                "expose_headers": list("exposeHeaders"),
                "allow_credentials": true,
            } },
        })
    }
}
