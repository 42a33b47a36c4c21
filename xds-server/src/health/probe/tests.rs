use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::config::{Damping, Incarnation};

fn settings(check: Check) -> Health {
    Health {
        check,
        port: None,
        incarnation: None,
        interval: Duration::from_secs(5),
        timeout: Duration::from_secs(5),
        fail_after: 3,
        pass_after: 1,
        quorum: None,
        readmit: None,
        max_ejected: 34,
        damping: Damping::default(),
    }
}

fn http(path: &str) -> Health {
    settings(Check::Http(path.to_owned()))
}

/// A server that answers everything with that, and keeps the connection.
async fn answering(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer.as_bytes()).await;
                std::future::pending::<()>().await;
            });
        }
    });
    address
}

/// Where nobody is.
async fn nowhere() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    listener.local_addr().unwrap()
}

#[tokio::test]
async fn a_path_is_well_when_it_answers_with_success() {
    let well = answering("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(probe(&http("/health"), well, true).await, Ok(None));
    let ill = answering("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n").await;
    let problem = "/health answers 503 Service Unavailable: expected 200";
    assert_eq!(
        probe(&http("/health"), ill, false).await,
        Err(problem.to_owned())
    );
    let moved = answering("HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n").await;
    assert!(probe(&http("/health"), moved, false).await.is_err());
    let nonsense = answering("hello\r\n\r\n").await;
    assert!(probe(&http("/health"), nonsense, false).await.is_err());
}

#[tokio::test]
async fn nobody_and_silence_are_failures_that_say_so() {
    let gone = nowhere().await;
    for check in [
        Check::Http("/".to_owned()),
        Check::Grpc(String::new()),
        Check::Tcp,
    ] {
        let problem = probe(&settings(check), gone, false).await.unwrap_err();
        assert!(problem.contains("refused"), "{problem}");
    }
    let timeout = Duration::from_millis(50);
    let silent = answering("").await;
    for check in [Check::Http("/".to_owned()), Check::Grpc(String::new())] {
        let settings = Health {
            timeout,
            ..settings(check)
        };
        let problem = probe(&settings, silent, false).await.unwrap_err();
        assert_eq!(problem, "no answer within 50ms");
    }
    assert_eq!(probe(&settings(Check::Tcp), silent, false).await, Ok(None));
}

#[test]
fn a_member_is_asked_at_its_own_port_else_at_that_of_all_else_where_it_serves() {
    let mut member = Member::new("a", ([10, 0, 0, 1], 80).into(), 1);
    let mut settings = http("/");
    assert_eq!(place(&settings, &member).port(), 80);
    settings.port = Some(81);
    assert_eq!(place(&settings, &member).port(), 81);
    member.health_port = NonZeroU16::new(82);
    assert_eq!(place(&settings, &member), ([10, 0, 0, 1], 82).into());
}

#[tokio::test]
async fn the_incarnation_is_read_where_it_is_and_missing_where_it_is_not() {
    let well = answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let metrics = answering(
        "HTTP/1.1 200 OK\r\ncontent-length: 136\r\n\r\n\
         # TYPE process_start_time_seconds gauge\n\
         process_start_time_seconds_total 1\n\
         process_start_time_seconds 1.79528183925e+09\n\
         go_goroutines 7\n",
    );
    let metrics = metrics.await;
    let at = |port| Health {
        timeout: Duration::from_millis(200),
        incarnation: Some(Incarnation {
            path: "/metrics".to_owned(),
            port: Some(port),
        }),
        ..http("/")
    };
    let known = Some("1.79528183925e+09".to_owned());
    assert_eq!(probe(&at(metrics.port()), well, true).await, Ok(known));
    assert_eq!(probe(&at(metrics.port()), well, false).await, Ok(None));
    assert_eq!(
        probe(&at(nowhere().await.port()), well, true).await,
        Ok(None)
    );
}

#[test]
fn the_value_of_the_metric_is_taken_as_it_stands() {
    for (text, expected) in [
        ("process_start_time_seconds 1.79e+09\n", Some("1.79e+09")),
        (
            "a 1\nprocess_start_time_seconds{pod=\"x\"} 7 1795\n",
            Some("7"),
        ),
        ("# HELP process_start_time_seconds 1\n", None),
        ("process_start_time_seconds_total 1\n", None),
        ("process_start_time_seconds\n", None),
        ("", None),
    ] {
        assert_eq!(started(text.as_bytes()).as_deref(), expected, "{text}");
    }
}
