//! What is sent, and what is made of answers.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use super::*;

#[test]
fn a_server_is_named_in_plain_http() {
    for (text, url) in [
        ("http://127.0.0.1:1", "http://127.0.0.1:1"),
        ("http://[::1]:1/", "http://[::1]:1"),
        ("http://gateway/yorkies/", "http://gateway/yorkies"),
    ] {
        assert_eq!(text.parse(), Ok(ServerUrl(url.to_owned())));
    }
    for text in [
        "",
        "127.0.0.1:1",
        "https://a",
        "http://",
        "http:///x",
        "http://a b",
    ] {
        let error = text.parse::<ServerUrl>().unwrap_err();
        assert!(error.ends_with("expected http://HOST:PORT"), "{error}");
    }
}

#[test]
fn nobody_there_is_an_error_with_the_url_that_may_pass() {
    let url: ServerUrl = "http://127.0.0.1:1".parse().unwrap();
    let error = url.get::<u8>("/x", None).unwrap_err();
    assert_eq!(error.to_string(), "http://127.0.0.1:1/x: no answer");
    assert!(error.is_passing());
}

#[test]
fn a_refusal_says_why_in_json_or_in_its_first_line() {
    assert_eq!(reason(r#"{"error": "no such key"}"#), "no such key");
    assert_eq!(reason("gone\nfor good"), "gone");
    assert_eq!(reason("[1]"), "[1]");
}

#[test]
fn a_refusal_passes_if_it_is_the_servers_fault() {
    let refused = |status| ClientError::Refused {
        url: String::new(),
        status,
        reason: String::new(),
    };
    assert!(refused(StatusCode::SERVICE_UNAVAILABLE).is_passing());
    assert!(!refused(StatusCode::UNAUTHORIZED).is_passing());
}

#[test]
fn whoever_has_a_token_shows_it_and_nobody_else_shows_anything() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        [(); 3].map(|()| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).unwrap().to_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let length = length.map_or(0, |length| length.parse().unwrap());
            stream.read_exact(&mut vec![0; length]).unwrap();
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\nconnection: close\r\n\r\n7";
            stream.write_all(answer.as_bytes()).unwrap();
            head
        })
    });
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "0123456789abcdef").unwrap();
    let with = |token| RunningServer {
        url: url.parse().unwrap(),
        token,
    };
    let token = Token::read(file.path()).unwrap();
    assert_eq!(with(Some(token.clone())).get::<u8>("/x").unwrap(), 7);
    assert_eq!(with(Some(token)).post::<u8>("/x", &()).unwrap(), 7);
    assert_eq!(with(None).get::<u8>("/x").unwrap(), 7);
    let shown = server.join().unwrap();
    let shown = shown.map(|head| head.contains("authorization: bearer 0123456789abcdef\r\n"));
    assert_eq!(shown, [true, true, false]);
}
