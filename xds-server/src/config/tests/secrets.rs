//! Secrets and keys, in files and in what is shown.

use super::*;

#[test]
fn a_secret_in_a_file_is_kept_as_its_hash() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("yorkies.yaml");
    fs::write(&path, format!("{LEAST}cluster_secret_file: secret\n")).unwrap();
    let error = Config::load(&path).unwrap_err().to_string();
    assert!(error.contains("cluster_secret_file: "), "{error}");
    fs::write(folder.path().join("secret"), "swordfish\n").unwrap();
    let config = Config::load(&path).unwrap();
    assert_eq!(
        config.cluster_secret_sha256.unwrap().to_string(),
        "b9f195c5cc7ef6afadbfbc42892ad47d3b24c6bc94bb510c4564a90a14e8b799"
    );
    assert!(!format!("{config:?}").contains("swordfish"));
}

#[test]
fn a_secret_is_given_once() {
    let line = format!(
        "cluster_secret_file: x\ncluster_secret_sha256: {}",
        "0".repeat(64)
    );
    let error = parse(&format!("{LEAST}{line}\n")).unwrap_err();
    assert!(error.contains("cluster_secret_file: "), "{error}");
}

#[test]
fn the_default_projects_key_may_be_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("yorkies.yaml");
    let key = folder.path().join("key");
    fs::write(&path, format!("{LEAST}default_project_file: key\n")).unwrap();
    for (text, problem) in [
        (None, "cannot be read"),
        (Some(&b"\n"[..]), "is empty"),
        (Some(b"\xff\n"), "is not UTF-8"),
        (Some(b" \n"), "\" \""),
    ] {
        if let Some(text) = text {
            fs::write(&key, text).unwrap();
        }
        let error = Config::load(&path).unwrap_err().to_string();
        assert!(
            error.contains("default_project_file: ") && error.contains(problem),
            "{error}"
        );
    }
    fs::write(&key, "0123456789abcdefghijkl\r\n").unwrap();
    let config = Config::load(&path).unwrap();
    assert_eq!(
        config.default_project.as_deref(),
        Some("0123456789abcdefghijkl")
    );

    let both = format!("{LEAST}default_project_file: key\ndefault_project: x\n");
    let error = parse(&both).unwrap_err();
    assert!(error.contains("default_project_file: "), "{error}");
}

#[test]
fn what_is_shown_of_it_has_every_setting_and_no_hash_of_a_secret() {
    const HASH: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let text = format!(
        "registry: {{file: m}}\nfilter: {{module: f}}\ncluster_secret_sha256: {HASH}\n\
         projects: [{{name: p, public_key: k, secret_key_sha256: {HASH}}}]\n\
         admin: {{token_file: token}}\n"
    );
    let config: Config = serde_saphyr::from_str(&text).unwrap();
    let shown = config.without_secrets();
    assert!(!shown.to_string().contains(HASH), "{shown}");
    assert_eq!(shown["projects"][0]["secret_key_sha256"], "redacted");
    assert_eq!(shown["admin"]["token_file"], "token");
    let all = serde_json::to_value(&config).unwrap();
    let names = |value: &serde_json::Value| {
        value
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&shown), names(&all));
}
