//! A proxy-wasm filter that does nothing, made with the same SDK as the real
//! one: what is left is the price of being called at all.

// The SDK's entry point is an exported function, which one lint takes for unsafe and the other for ours.
#![allow(unsafe_code, missing_docs)]

use proxy_wasm::traits::{Context, HttpContext, RootContext};

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Empty));
    proxy_wasm::set_http_context(|_, _| Box::new(Empty));
}}

struct Empty;

impl Context for Empty {}
impl RootContext for Empty {}
impl HttpContext for Empty {}
