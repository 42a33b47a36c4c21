//! What stays in a module and what goes.

use filter_module::{Keep, StripError, strip};
use walrus::{FunctionBuilder, FunctionId, Module, ModuleConfig, ValType};
use wasmparser::{ExternalKind, Parser, Payload, Validator};

const KEPT: &str = "proxy_on_request_headers  routes";

/// Nobody calls it but the callback for bodies.
const HELPER: i32 = 0x5eed;

fn function(module: &mut Module, value: i32, calls: Option<FunctionId>) -> FunctionId {
    let mut builder = FunctionBuilder::new(&mut module.types, &[ValType::I32], &[ValType::I32]);
    let argument = module.locals.add(ValType::I32);
    let mut body = builder.func_body();
    if let Some(called) = calls {
        body.local_get(argument).call(called).drop();
    }
    body.i32_const(value);
    builder.finish(vec![argument], &mut module.funcs)
}

/// As the SDK makes them, in small.
fn module() -> Vec<u8> {
    let mut module = Module::with_config(ModuleConfig::new());
    let memory = module.memories.add_local(false, false, 1, None, None);
    module.exports.add("memory", memory);
    let helper = function(&mut module, HELPER, None);
    for (number, name, calls) in [
        (1, "_initialize", None),
        (2, "proxy_abi_version_0_2_1", None),
        (3, "proxy_on_memory_allocate", None),
        (4, "proxy_on_request_headers", None),
        (5, "proxy_on_request_body", Some(helper)),
        (6, "proxy_on_log", None),
        (7, "something_else", None),
    ] {
        let id = function(&mut module, number, calls);
        module.exports.add(name, id);
    }
    module.emit_wasm()
}

fn keep(text: &str) -> Keep {
    text.parse().unwrap()
}

fn exports(wasm: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::ExportSection(section) = payload.unwrap() {
            for export in section {
                let export = export.unwrap();
                assert!(matches!(
                    export.kind,
                    ExternalKind::Func | ExternalKind::Memory
                ));
                names.push(export.name.to_owned());
            }
        }
    }
    names
}

fn functions(wasm: &[u8]) -> usize {
    Parser::new(0)
        .parse_all(wasm)
        .filter(|payload| matches!(payload, Ok(Payload::CodeSectionEntry(_))))
        .count()
}

#[test]
fn callbacks_outside_the_list_go_and_everything_else_stays() {
    let stripped = strip(&module(), &keep(KEPT)).unwrap();
    assert_eq!(
        exports(&stripped.wasm),
        [
            "memory",
            "_initialize",
            "proxy_abi_version_0_2_1",
            "proxy_on_memory_allocate",
            "proxy_on_request_headers",
            "something_else",
        ]
    );
    assert_eq!(stripped.removed, ["proxy_on_log", "proxy_on_request_body"]);
}

#[test]
fn what_only_they_used_goes_with_them() {
    let before = module();
    let stripped = strip(&before, &keep(KEPT)).unwrap();
    assert_eq!(functions(&before), 8);
    assert_eq!(functions(&stripped.wasm), 5);
}

#[test]
fn the_result_is_valid() {
    let stripped = strip(&module(), &keep(KEPT)).unwrap();
    Validator::new().validate_all(&stripped.wasm).unwrap();
}

#[test]
fn the_same_module_gives_the_same_bytes_and_a_stripped_one_itself() {
    let list = keep(KEPT);
    let once = strip(&module(), &list).unwrap();
    assert_eq!(strip(&module(), &list).unwrap(), once);
    let twice = strip(&once.wasm, &list).unwrap();
    assert_eq!(twice.wasm, once.wasm);
    assert!(twice.removed.is_empty());
}

#[test]
fn a_name_that_is_no_exported_callback_is_an_error() {
    for name in [
        "proxy_on_requst_headers",
        "on_request_headers",
        "memory",
        "_initialize",
        "proxy_on_memory_allocate",
    ] {
        let list = keep(&format!("{KEPT}\n{name} misspelt"));
        let error = strip(&module(), &list).unwrap_err();
        assert!(matches!(error, StripError::NotExported(found) if found == name));
    }
}

#[test]
fn garbage_is_an_error() {
    let mut cut = module();
    cut.truncate(cut.len() - 3);
    for wasm in [&b""[..], b"\0asm", b"garbage", &cut] {
        let error = strip(wasm, &keep(KEPT)).unwrap_err();
        assert!(matches!(error, StripError::Unreadable(_)), "{error}");
    }
}
