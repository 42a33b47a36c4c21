//! The functions of Envoy's ABI as they are imported, and its numbers.
//!
//! Declared here, because the SDK's wrappers read the status as a closed enum
//! and panic on what they do not expect, and a panic costs the worker its VM.
//! Here any 32-bit status is a value.

#![allow(unsafe_code)]

/// `proxy_map_type_t`: the headers of the request.
pub(super) const REQUEST_HEADERS: u32 = 0;
/// `proxy_map_type_t`: the headers of the response.
pub(super) const RESPONSE_HEADERS: u32 = 2;
/// `proxy_buffer_type_t`: the body of the request.
pub(super) const REQUEST_BODY: u32 = 0;
/// `proxy_buffer_type_t`: the body of the response.
pub(super) const RESPONSE_BODY: u32 = 1;
/// `proxy_buffer_type_t`: the plugin configuration.
pub(super) const PLUGIN_CONFIGURATION: u32 = 7;
/// `proxy_metric_type_t`: a counter.
pub(super) const COUNTER: u32 = 0;
/// `proxy_metric_type_t`: a gauge.
pub(super) const GAUGE: u32 = 1;
/// `proxy_stream_type_t`: the request of an HTTP stream.
pub(super) const REQUEST: u32 = 0;
/// `clockid_t` of WASI: the monotonic clock.
pub(super) const MONOTONIC: u32 = 1;

// Pointers and sizes as in the ABI: 32 bits each on wasm32. Natively these symbols do not exist; nothing there calls them.
#[link(wasm_import_module = "env")]
unsafe extern "C" {
    pub(super) fn proxy_log(level: u32, data: *const u8, size: usize) -> u32;
    pub(super) fn proxy_get_buffer_bytes(
        buffer_type: u32,
        start: usize,
        max_size: usize,
        return_data: *mut *mut u8,
        return_size: *mut usize,
    ) -> u32;
    pub(super) fn proxy_get_header_map_pairs(
        map_type: u32,
        return_data: *mut *mut u8,
        return_size: *mut usize,
    ) -> u32;
    pub(super) fn proxy_replace_header_map_value(
        map_type: u32,
        name: *const u8,
        name_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    pub(super) fn proxy_remove_header_map_value(
        map_type: u32,
        name: *const u8,
        name_size: usize,
    ) -> u32;
    pub(super) fn proxy_set_property(
        path: *const u8,
        path_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    pub(super) fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
    pub(super) fn proxy_get_property(
        path: *const u8,
        path_size: usize,
        return_data: *mut *mut u8,
        return_size: *mut usize,
    ) -> u32;
    pub(super) fn proxy_close_stream(stream_type: u32) -> u32;
    pub(super) fn proxy_grpc_call(
        service: *const u8,
        service_size: usize,
        service_name: *const u8,
        service_name_size: usize,
        method: *const u8,
        method_size: usize,
        metadata: *const u8,
        metadata_size: usize,
        message: *const u8,
        message_size: usize,
        timeout: u32,
        return_token: *mut u32,
    ) -> u32;
    pub(super) fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    pub(super) fn proxy_done() -> u32;
    pub(super) fn proxy_define_metric(
        metric_type: u32,
        name: *const u8,
        name_size: usize,
        return_id: *mut u32,
    ) -> u32;
    pub(super) fn proxy_get_shared_data(
        name: *const u8,
        name_size: usize,
        return_data: *mut *mut u8,
        return_size: *mut usize,
        return_cas: *mut u32,
    ) -> u32;
    pub(super) fn proxy_set_shared_data(
        name: *const u8,
        name_size: usize,
        value: *const u8,
        value_size: usize,
        cas: u32,
    ) -> u32;
    pub(super) fn proxy_increment_metric(id: u32, offset: i64) -> u32;
    pub(super) fn proxy_set_effective_context(context: u32) -> u32;
}

// Of proxy-wasm's own clock Envoy makes the time of day, which can go back.
#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    pub(super) fn clock_time_get(id: u32, precision: u64, return_time: *mut u64) -> u32;
}
