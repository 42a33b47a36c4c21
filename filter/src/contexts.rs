//! The module as Envoy sees it: its start and its contexts, which only pass
//! each call on to the VM's one state.

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType};

use crate::host::{Envoy, Host, LogLevel};
use crate::state::Vm;
use crate::stream::{Flow, Stream};

thread_local! {
    static VM: Vm = const { Vm::new() };
}

proxy_wasm::main! {{
    std::panic::set_hook(Box::new(|panic| {
        Envoy.log(LogLevel::Critical, &format!("yorkies: {panic}"));
        VM.with(|vm| vm.crashed(&Envoy));
    }));
    Envoy.log(
        LogLevel::Info,
        concat!("yorkies: filter ", env!("CARGO_PKG_VERSION"), " starts"),
    );
    proxy_wasm::set_root_context(|id| Box::new(Root { id, internal: false }));
}}

/// The context of one configuration.
struct Root {
    id: u32,
    /// Whether its listener is internal.
    internal: bool,
}

impl Context for Root {
    fn on_done(&mut self) -> bool {
        VM.with(|vm| vm.done(&Envoy, self.id))
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        let configured = VM.with(|vm| vm.configure(&Envoy, self.id));
        self.internal = configured.internal;
        configured.can_serve
    }

    fn on_tick(&mut self) {
        VM.with(|vm| vm.tick(&Envoy, self.id));
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Http(Stream::new(id, self.id, self.internal))))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// The context of one request.
struct Http(Stream);

impl Drop for Http {
    fn drop(&mut self) {
        VM.with(|vm| self.0.end(vm));
    }
}

impl Context for Http {}

impl HttpContext for Http {
    fn on_http_request_headers(&mut self, _count: usize, end_of_stream: bool) -> Action {
        #[cfg(feature = "crash")]
        crate::crash::if_asked(&Envoy);
        action(VM.with(|vm| self.0.request_headers(vm, &Envoy, end_of_stream)))
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        action(VM.with(|vm| self.0.request_body(vm, &Envoy, size, end_of_stream)))
    }

    fn on_http_request_trailers(&mut self, _count: usize) -> Action {
        action(VM.with(|vm| self.0.request_trailers(vm, &Envoy)))
    }

    fn on_http_response_headers(&mut self, count: usize, end_of_stream: bool) -> Action {
        VM.with(|vm| self.0.response_headers(vm, &Envoy, count, end_of_stream));
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        VM.with(|vm| self.0.response_body(vm, &Envoy, size, end_of_stream));
        Action::Continue
    }
}

fn action(flow: Flow) -> Action {
    match flow {
        Flow::Continue => Action::Continue,
        Flow::Wait | Flow::Answered => Action::Pause,
    }
}
