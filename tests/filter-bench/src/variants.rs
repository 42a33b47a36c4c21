//! What is compared: data.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};
use sharding::{API_KEY, FORMAT, SHARD_KEY};

/// Members of the assignment, and servers behind Envoy.
pub(crate) const MEMBERS: u16 = 5;
/// Documents that are asked for in turn.
const DOCUMENTS: u32 = 512;
/// Of the changes of a message: as much as an SDK sends for a few keystrokes.
const CHANGES_BYTES: usize = 600;

/// The header path's work in Lua, but for the owner: Lua would need the table.
const LUA: &str = r#"
function envoy_on_request(handle)
  local headers = handle:headers()
  local key = headers:get("x-shard-key")
  if key == nil or #key > 512 or key:match("^[%w%-%._~]*/[%w%-%._~]+$") == nil then
    handle:respond({[":status"] = "400"}, "bad key")
    return
  end
  local project = headers:get("x-api-key")
  if project ~= nil and project ~= key:match("^[^/]*") then
    handle:respond({[":status"] = "400"}, "forged key")
    return
  end
  headers:replace("x-shard-key", key)
  headers:replace("x-shard-epoch", "7")
  headers:replace("x-shard-owner", "member-1")
end
"#;

/// One way of handling a request; each has listeners of its own.
#[derive(Debug, Clone)]
pub(crate) struct Variant {
    /// As in the table.
    pub(crate) name: String,
    /// What stands before the router.
    pub(crate) filter: Filter,
    /// Makes the nth request to it, with or without a body.
    pub(crate) request: fn(u32, bool) -> http::Result<Request<Full<Bytes>>>,
    /// Whether there has to be a body: the key is in it.
    pub(crate) needs_body: bool,
    /// Whether requests have to arrive annotated: so it did its work.
    pub(crate) annotates: Option<bool>,
}

/// A filter of Envoy.
#[derive(Debug, Clone)]
pub(crate) enum Filter {
    /// None.
    None,
    /// A proxy-wasm module.
    Wasm(PathBuf),
    /// A script.
    Lua,
}

/// Where the modules are.
#[derive(Debug)]
pub(crate) struct Modules {
    /// As linked: `yorkies_filter.wasm` and `empty_filter.wasm`.
    pub(crate) linked: PathBuf,
    /// As shipped: `yorkies-filter.wasm` and `empty-filter.wasm`.
    pub(crate) shipped: PathBuf,
    /// More builds of the filter, by name.
    pub(crate) others: Vec<(String, PathBuf)>,
}

/// What everything is compared to.
pub(crate) const NONE: &str = "no filter";
/// The price of being called at all.
pub(crate) const EMPTY: &str = "empty filter, as linked";
/// The same without callbacks that nobody needs.
pub(crate) const EMPTY_SHIPPED: &str = "empty filter, as shipped";

/// Everything that is compared.
#[must_use]
pub(crate) fn variants(modules: &Modules) -> Vec<Variant> {
    let variant = |name: &str, filter, annotates: Option<bool>| Variant {
        name: name.to_owned(),
        filter,
        request: key_in_header,
        needs_body: false,
        annotates,
    };
    let wasm = |folder: &Path, name| Filter::Wasm(folder.join(name));
    let (linked, shipped) = (&modules.linked, &modules.shipped);
    let mut all = vec![
        variant(NONE, Filter::None, Some(false)),
        variant(EMPTY, wasm(linked, "empty_filter.wasm"), Some(false)),
        variant(
            EMPTY_SHIPPED,
            wasm(shipped, "empty-filter.wasm"),
            Some(false),
        ),
        variant(
            "ours, as linked",
            wasm(linked, "yorkies_filter.wasm"),
            Some(true),
        ),
        variant(
            "ours, as shipped",
            wasm(shipped, "yorkies-filter.wasm"),
            Some(true),
        ),
        Variant {
            request: key_in_body,
            needs_body: true,
            ..variant(
                "ours, body path",
                wasm(shipped, "yorkies-filter.wasm"),
                Some(true),
            )
        },
        variant("Lua", Filter::Lua, Some(true)),
    ];
    for (name, module) in &modules.others {
        all.push(variant(name, Filter::Wasm(module.clone()), None));
    }
    all
}

/// The filter's configuration.
#[must_use]
pub(crate) fn configuration() -> Value {
    let members = (1..=MEMBERS).map(|number| {
        json!({
            "id": format!("member-{number}"),
            "address": format!("127.0.0.1:{number}"),
            "weight": 1,
        })
    });
    json!({
        "format": FORMAT,
        "epoch": 7,
        "cluster": "members",
        "members": members.collect::<Vec<_>>(),
    })
}

/// Envoy's configuration of a filter; `None` when there is none.
#[must_use]
pub(crate) fn http_filter(variant: &Variant) -> Option<Value> {
    let typed = match &variant.filter {
        Filter::None => return None,
        Filter::Lua => json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
            "default_source_code": { "inline_string": LUA },
        }),
        Filter::Wasm(module) => json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
            "config": {
                "name": variant.name,
                "vm_config": {
                    "vm_id": variant.name,
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": { "local": { "filename": module } },
                },
                // As in production: else no body would come while the headers wait.
                "allow_on_headers_stop_iteration": true,
                "configuration": {
                    "@type": "type.googleapis.com/google.protobuf.StringValue",
                    "value": configuration().to_string(),
                },
            },
        }),
    };
    Some(json!({ "name": "measured", "typed_config": typed }))
}

/// As a browser sends it through the Connect client: a canonical key in its
/// header.
fn key_in_header(number: u32, with_body: bool) -> http::Result<Request<Full<Bytes>>> {
    let document = number % DOCUMENTS;
    let mut request = push_pull(document, with_body)?;
    let key = HeaderValue::from_str(&format!("project-one/document-{document}"))?;
    request.headers_mut().insert(SHARD_KEY, key);
    Ok(request)
}

/// The same without that header: the key is in the body.
fn key_in_body(number: u32, with_body: bool) -> http::Result<Request<Full<Bytes>>> {
    push_pull(number % DOCUMENTS, with_body)
}

fn push_pull(document: u32, with_body: bool) -> http::Result<Request<Full<Bytes>>> {
    let body = if with_body {
        Bytes::from(message(document))
    } else {
        Bytes::new()
    };
    let mut request = Request::builder()
        .method(Method::POST)
        .uri("http://documents.example.com/yorkie.v1.YorkieService/PushPullChanges")
        .header(API_KEY, "project-one")
        .body(Full::new(body))?;
    for (name, value) in [
        ("accept", "*/*"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("accept-language", "en-GB,en;q=0.9,de;q=0.8"),
        ("authorization", "Bearer 0123456789abcdef0123456789abcdef"),
        ("connect-protocol-version", "1"),
        ("content-type", "application/json"),
        ("origin", "https://editor.example.com"),
        ("referer", "https://editor.example.com/"),
        (
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/140.0",
        ),
        ("x-yorkie-user-agent", "yorkie-js-sdk/0.6.22"),
    ] {
        let headers = request.headers_mut();
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    Ok(request)
}

/// A message of `PushPullChanges`, its fields in the order in which the SDK
/// writes them.
fn message(document: u32) -> String {
    let changes = "c".repeat(CHANGES_BYTES);
    format!(
        r#"{{"clientId":"955d6ffd05f4b1a10975efb6","documentId":"77876c1b083e5c12692fee6f","changePack":{{"documentKey":"document-{document}","checkpoint":{{"serverSeq":"2","clientSeq":2}},"changes":["{changes}"]}}}}"#
    )
}
