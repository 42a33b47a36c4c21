//! TLS over memory.

use std::fs;
use std::time::Duration;

use rcgen::{CertificateParams, date_time_ymd};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind, ProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_rustls::TlsConnector;

use super::support::{authority, client, dns, files, issue, issue_as, uri};
use super::*;

/// What the server makes of a client.
async fn met(
    tls: &Tls,
    client: ClientConfig,
) -> Result<tokio_rustls::server::TlsStream<DuplexStream>, String> {
    let (ours, theirs) = duplex(64 << 10);
    let name = ServerName::try_from("xds").unwrap();
    let connecting = TlsConnector::from(Arc::new(client)).connect(name, theirs);
    let (accepted, _connected) = tokio::join!(tls.acceptor().accept(ours), async {
        // Kept, so that the server sees what the client says and not its end.
        connecting.await.map_err(|error| error.to_string())
    });
    accepted.map_err(|error| error.to_string())
}

fn start(settings: &XdsTls) -> Tls {
    Tls::start(settings, &LookAgain::default(), Metrics::default()).unwrap()
}

#[tokio::test]
async fn who_shows_a_certificate_of_the_authority_is_known_by_its_names() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), authority());
    let tls = start(&files(folder.path(), &authority));
    let shown = issue(&authority, &[uri("spiffe://a/b"), dns("c.d"), uri("e://f")]);
    let stream = met(&tls, client(&authority, Some(&shown))).await.unwrap();
    let (_, connection) = stream.get_ref();
    let names = names(connection).unwrap();
    assert_eq!(names.uris, ["spiffe://a/b", "e://f"]);
    assert_eq!(names.dns, ["c.d"]);
    assert_eq!(connection.alpn_protocol(), Some(&b"h2"[..]));
    assert_eq!(
        connection.protocol_version(),
        Some(ProtocolVersion::TLSv1_3)
    );
}

#[tokio::test]
async fn who_shows_none_or_another_authoritys_is_refused() {
    let (folder, right, wrong) = (tempfile::tempdir().unwrap(), authority(), authority());
    let settings = files(folder.path(), &right);
    let tls = start(&settings);
    assert!(met(&tls, client(&right, None)).await.is_err());
    let shown = issue(&wrong, &[dns("a")]);
    let error = met(&tls, client(&right, Some(&shown))).await.unwrap_err();
    assert!(error.contains("invalid peer certificate"), "{error}");
    let tls = start(&XdsTls {
        client_ca: None,
        ..settings
    });
    assert!(met(&tls, client(&right, None)).await.is_ok());
}

/// So that a certificate that is not trusted any more lets nobody in.
#[tokio::test]
async fn every_connection_shows_its_certificate_anew() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), authority());
    let tls = start(&files(folder.path(), &authority));
    // What one connection is given to come back with, the next one has.
    let client = Arc::new(client(&authority, Some(&issue(&authority, &[dns("a")]))));
    for _ in 0..3 {
        let (ours, theirs) = duplex(64 << 10);
        let name = ServerName::try_from("xds").unwrap();
        let connecting = TlsConnector::from(Arc::clone(&client)).connect(name, theirs);
        let (ours, theirs) = tokio::join!(tls.acceptor().accept(ours), connecting);
        let (mut ours, mut theirs) = (ours.unwrap(), theirs.unwrap());
        ours.write_u8(7).await.unwrap();
        ours.flush().await.unwrap();
        assert_eq!(theirs.read_u8().await.unwrap(), 7);
        let (_, connection) = ours.get_ref();
        let kind = connection.handshake_kind();
        assert!(
            !matches!(kind, None | Some(HandshakeKind::Resumed)),
            "{kind:?}"
        );
    }
}

#[tokio::test]
async fn who_does_not_speak_http2_is_refused() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), authority());
    let mut settings = files(folder.path(), &authority);
    settings.client_ca = None;
    let mut client = client(&authority, None);
    client.alpn_protocols = vec![b"http/1.1".to_vec()];
    assert!(met(&start(&settings), client).await.is_err());
}

#[test]
fn files_that_cannot_be_used_are_named_and_not_shown() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), authority());
    let settings = files(folder.path(), &authority);
    let another = issue(&authority, &[dns("xds")]);
    let check = || Tls::check(&settings).map_err(|error| error.to_string());
    assert_eq!(check(), Ok(()));
    for (file, content, message) in [
        ("certificate.pem", "", "has no usable certificate in PEM"),
        ("certificate.pem", &*another[0], "KeyMismatch"),
        ("key.pem", "swordfish", "has no usable private key in PEM"),
        ("ca.pem", "", "has no usable certificate in PEM"),
    ] {
        let path = folder.path().join(file);
        let good = fs::read(&path).unwrap();
        fs::write(&path, content).unwrap();
        let error = check().unwrap_err();
        assert!(error.starts_with("xds.tls."), "{error}");
        assert!(error.contains(file) && error.contains(message), "{error}");
        assert!(!error.contains("swordfish"), "{error}");
        fs::remove_file(&path).unwrap();
        assert!(check().unwrap_err().contains("cannot be read"));
        fs::write(&path, good).unwrap();
    }
}

#[tokio::test]
async fn renewed_files_are_taken_and_bad_ones_are_not() {
    let (folder, old, new) = (tempfile::tempdir().unwrap(), authority(), authority());
    let settings = files(folder.path(), &old);
    let look_again = LookAgain::default();
    let metrics = Metrics::default();
    let tls = Tls::start(&settings, &look_again, metrics.clone()).unwrap();
    let newest = async || {
        let mut newest = tls.newest.clone();
        let changed = tokio::time::timeout(Duration::from_secs(10), newest.changed());
        changed.await.is_ok()
    };
    // Half of a renewal, and then the other half.
    let before = tls.acceptor();
    assert_eq!(
        metrics.not_after(),
        date_time_ymd(4096, 1, 1).unix_timestamp()
    );
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![dns("xds")];
    params.not_after = date_time_ymd(2040, 5, 6);
    let [certificate, key] = issue_as(&new, &params);
    // The first of the chain that expires counts.
    let certificate = certificate + &new.pem();
    fs::write(folder.path().join("certificate.pem"), &certificate).unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(Arc::ptr_eq(before.config(), tls.acceptor().config()));
    assert!(
        met(&tls, client(&old, Some(&issue(&old, &[]))))
            .await
            .is_ok()
    );
    let renewed = async {
        fs::write(folder.path().join("key.pem"), &key).unwrap();
        look_again.ask();
    };
    let (is_renewed, ()) = tokio::join!(newest(), renewed);
    assert!(is_renewed);
    let until = date_time_ymd(2040, 5, 6).unix_timestamp();
    assert_eq!(metrics.not_after(), until);
    assert!(
        met(&tls, client(&new, Some(&issue(&old, &[]))))
            .await
            .is_ok()
    );
    assert!(
        met(&tls, client(&old, Some(&issue(&old, &[]))))
            .await
            .is_err()
    );
}
