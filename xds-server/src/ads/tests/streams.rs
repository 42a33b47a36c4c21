//! Streams that are slow, and those that end.

use tonic::Code;

use super::*;
use crate::ads::support::{CDS, ECDS, LDS, snapshot};

/// Its connection's buffers fill up at some point and the rest waits as what it
/// is: a look at the newest snapshot.
#[tokio::test]
async fn a_proxy_that_does_not_read_delays_nobody_and_skips_what_it_missed() {
    let content = |n: usize| format!("{n:06}").repeat(20_000);
    let with = |n| snapshot(&[(CDS, "a", content(n).as_str())]);
    let server = Server::start(with(0)).await;
    let mut stuck = server.sotw().await;
    stuck.ask(CDS, &[]).await;
    let mut good = server.sotw().await;
    good.ask(CDS, &[]).await;
    good.accept(CDS, &[]).await;
    let last = 150;
    for n in 1..=last {
        server.snapshots.send_replace(with(n));
        assert_eq!(good.accept(CDS, &[]).await, [content(n)]);
    }
    let mut received = 0;
    loop {
        received += 1;
        if stuck.accept(CDS, &[]).await == [content(last)] {
            break;
        }
    }
    assert!(received < last / 2, "{received} of {last} were kept for it");
}

#[tokio::test]
async fn of_many_quick_changes_the_last_always_arrives() {
    let with = |n: u32| snapshot(&[(CDS, "a", &n.to_string()), (ECDS, "f", &n.to_string())]);
    let server = Server::start(with(0)).await;
    let (mut sotw, mut delta) = (server.sotw().await, server.delta().await);
    sotw.ask(CDS, &[]).await;
    delta.ask(CDS, &[]).await;
    for round in 1..=20 {
        let last = round * 100;
        for n in last - 99..=last {
            server.snapshots.send_replace(with(n));
            if n % 7 == 0 {
                tokio::task::yield_now().await;
            }
        }
        while sotw.accept(CDS, &[]).await != [last.to_string()] {}
        while delta.answer(CDS, None).await != [last.to_string()] {}
    }
}

#[tokio::test]
async fn nothing_is_left_of_a_stream_that_ended() {
    let server = Server::start(snapshot(&[(CDS, "a", "a1")])).await;
    for _ in 0..20 {
        let mut half_closed = server.sotw().await;
        half_closed.ask(CDS, &[]).await;
        half_closed.accept(CDS, &[]).await;
        drop(half_closed.requests);
        let end = timeout(PATIENCE, half_closed.responses.message()).await;
        assert!(end.unwrap().unwrap().is_none());
        let mut dropped = server.delta().await;
        dropped.ask(CDS, &[]).await;
        dropped.answer(CDS, None).await;
    }
    server
        .eventually("all are gone", |recorder| {
            recorder.open.lock().unwrap().is_empty()
        })
        .await;
    // What the server itself holds, and no stream.
    let receivers = || server.snapshots.receiver_count();
    let gone = async {
        while receivers() > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, gone)
        .await
        .expect("nobody looks any more");
}

#[tokio::test]
async fn at_shutdown_streams_end_at_once_and_even_a_stuck_one_soon() {
    let server = Server::start(snapshot(&[(CDS, "a", "x".repeat(4 << 20).as_str())])).await;
    let stuck = server.sotw().await;
    stuck.ask(CDS, &[]).await;
    let mut idle = server.sotw().await;
    idle.ask(LDS, &["none"]).await;
    idle.accept(LDS, &["none"]).await;
    let both = |recorder: &Recorder| recorder.open.lock().unwrap().len() == 2;
    server.eventually("both are open", both).await;

    server.shutdown.send(()).unwrap();
    let end = timeout(PATIENCE, idle.responses.message()).await.unwrap();
    assert_eq!(end.unwrap_err().code(), Code::Unavailable);
    timeout(Duration::from_secs(5), server.serving)
        .await
        .expect("the server ends")
        .unwrap()
        .unwrap();
    let closed = async {
        while server.snapshots.receiver_count() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, closed)
        .await
        .expect("all streams are gone");
    assert!(server.observer.open.lock().unwrap().is_empty());
}
