//! The filter's own list, against the filter's sources: a callback that is
//! implemented but not exported would silently never be called.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use filter_module::{Keep, is_callback};

/// What the SDK needs, whether or not the filter has something to say.
const OF_THE_SDK: [&str; 2] = ["proxy_on_context_create", "proxy_on_delete"];

fn filter() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn list() -> Keep {
    let text = fs::read_to_string(filter().join("callbacks.txt")).unwrap();
    text.parse().unwrap()
}

/// The exports that call a method of the SDK's traits.
fn exports_behind(method: &str) -> Vec<String> {
    let names: &[&str] = match method {
        "on_http_call_response" => &["on_http_call_response"],
        "on_grpc_call_response" => &["on_grpc_receive", "on_grpc_close"],
        "on_grpc_stream_initial_metadata" => &["on_grpc_receive_initial_metadata"],
        "on_grpc_stream_message" => &["on_grpc_receive"],
        "on_grpc_stream_trailing_metadata" => &["on_grpc_receive_trailing_metadata"],
        "on_grpc_stream_close" => &["on_grpc_close"],
        other => &[&other.replace("on_http_", "on_")],
    };
    names.iter().map(|name| format!("proxy_{name}")).collect()
}

/// Methods that the filter's contexts implement.
fn methods(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            methods(&path, found);
            continue;
        }
        let source = fs::read_to_string(&path).unwrap();
        if source.contains("proxy_wasm::traits") {
            found.extend(source.split("fn on_").skip(1).map(|rest| {
                let name = rest.split('(').next().unwrap();
                format!("on_{name}")
            }));
        }
    }
}

#[test]
fn every_callback_that_the_filter_implements_is_in_the_list() {
    let mut found = BTreeSet::new();
    methods(&filter().join("src"), &mut found);
    assert!(found.contains("on_http_request_headers"), "{found:?}");
    let list = list();
    for method in &found {
        for export in exports_behind(method) {
            assert!(
                list.contains(&export),
                "{method} is never called: put {export} into filter/callbacks.txt"
            );
        }
    }
}

#[test]
fn the_list_has_what_the_sdk_cannot_do_without() {
    let list = list();
    for name in OF_THE_SDK {
        assert!(list.contains(name), "{name}");
    }
    assert!(list.names().all(is_callback));
}

#[test]
fn nobody_hears_the_answers_to_calls_that_the_sdk_did_not_make() {
    let list = list();
    let mut grpc = list.names().filter(|name| name.contains("grpc"));
    assert_eq!(grpc.next(), None, "the SDK would panic at them");
}
