//! The module as Envoy sees it: its start and its contexts, which only pass
//! each call on to the VM's one state.

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::Action;

use crate::host::{Envoy, Host, LogLevel};
use crate::route::Flow;
use crate::state::Vm;

thread_local! {
    static VM: Vm = const { Vm::new() };
}

proxy_wasm::main! {{
    std::panic::set_hook(Box::new(|panic| {
        Envoy.log(LogLevel::Critical, &format!("yorkies: {panic}"));
    }));
    Envoy.log(
        LogLevel::Info,
        concat!("yorkies: filter ", env!("CARGO_PKG_VERSION"), " starts"),
    );
    proxy_wasm::set_root_context(|id| Box::new(Root { id }));
    proxy_wasm::set_http_context(|_, root| Box::new(Stream { root }));
}}

/// The context of one configuration.
struct Root {
    id: u32,
}

impl Context for Root {
    fn on_done(&mut self) -> bool {
        VM.with(|vm| vm.done(&Envoy, self.id));
        true
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        VM.with(|vm| vm.configure(&Envoy, self.id))
    }

    fn on_tick(&mut self) {
        VM.with(|vm| vm.tick(&Envoy, self.id));
    }
}

/// The context of one request.
struct Stream {
    root: u32,
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        match VM.with(|vm| vm.request(&Envoy, self.root)) {
            Flow::Continue => Action::Continue,
            Flow::Answered => Action::Pause,
        }
    }
}
