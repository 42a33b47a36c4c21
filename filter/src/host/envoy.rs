//! The real host: Envoy's proxy-wasm ABI 0.2.1. The only calls of what is not
//! Rust, each with the proof that it is safe.

#![allow(unsafe_code)]

mod abi;

use std::ptr;
use std::time::Duration;

use super::{GrpcCall, Host, HostError, LogLevel};
use crate::headers;
use crate::rpc::Reply;

use abi::{
    COUNTER, GAUGE, MONOTONIC, PLUGIN_CONFIGURATION, REQUEST, REQUEST_BODY, REQUEST_HEADERS,
    RESPONSE_BODY, RESPONSE_HEADERS, clock_time_get, proxy_close_stream, proxy_define_metric,
    proxy_done, proxy_get_buffer_bytes, proxy_get_header_map_pairs, proxy_get_property,
    proxy_get_shared_data, proxy_grpc_call, proxy_increment_metric, proxy_log,
    proxy_remove_header_map_value, proxy_replace_header_map_value, proxy_send_local_response,
    proxy_set_effective_context, proxy_set_property, proxy_set_shared_data,
    proxy_set_tick_period_milliseconds,
};

/// Envoy, as seen from inside a VM. Only ever called from a callback, so the
/// host always knows the current context.
#[derive(Debug, Clone, Copy)]
pub struct Envoy;

/// Calls a function that returns bytes, and takes ownership of them.
fn returned_bytes(
    call: impl FnOnce(*mut *mut u8, *mut usize) -> u32,
) -> Result<Vec<u8>, HostError> {
    let mut data: *mut u8 = ptr::null_mut();
    let mut size: usize = 0;
    HostError::check(call(&raw mut data, &raw mut size))?;
    if data.is_null() || size == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: on success the host has called our exported `proxy_on_memory_allocate(size)` once for this answer, filled
    // all of it, and keeps no reference. That function (the SDK's) leaks a boxed slice of `size` bytes of the global
    // allocator, so this is the box that it leaked, and nobody else owns it.
    let bytes = unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(data, size)) };
    Ok(bytes.into_vec())
}

fn header_map(map_type: u32) -> Result<Vec<u8>, HostError> {
    returned_bytes(|data, size| {
        // SAFETY: both pointers are to live, writable locals of `returned_bytes`.
        unsafe { proxy_get_header_map_pairs(map_type, data, size) }
    })
}

/// Exactly the bytes that are there: Envoy refuses a range beyond them.
fn buffer(buffer_type: u32, start: usize, length: usize) -> Result<Vec<u8>, HostError> {
    if length == 0 {
        return Ok(Vec::new());
    }
    returned_bytes(|data, size| {
        // SAFETY: both pointers are to live, writable locals of `returned_bytes`.
        unsafe { proxy_get_buffer_bytes(buffer_type, start, length, data, size) }
    })
}

fn define_metric(metric_type: u32, name: &str) -> Result<u32, HostError> {
    let mut id = 0;
    // SAFETY: pointer and size are those of a live slice; `id` is a live, writable local.
    HostError::check(unsafe {
        proxy_define_metric(metric_type, name.as_ptr(), name.len(), &raw mut id)
    })?;
    Ok(id)
}

fn milliseconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

impl Host for Envoy {
    fn request_headers(&self) -> Result<Vec<u8>, HostError> {
        header_map(REQUEST_HEADERS)
    }

    fn request_body(&self, start: usize, size: usize) -> Result<Vec<u8>, HostError> {
        buffer(REQUEST_BODY, start, size)
    }

    fn response_headers(&self) -> Result<Vec<u8>, HostError> {
        header_map(RESPONSE_HEADERS)
    }

    fn response_body(&self, size: usize) -> Result<Vec<u8>, HostError> {
        buffer(RESPONSE_BODY, 0, size)
    }

    fn shared(&self, name: &str) -> Result<(Vec<u8>, u32), HostError> {
        let mut version = 0;
        let bytes = returned_bytes(|data, size| {
            // SAFETY: the name is a live slice that the host only reads during the call; the other pointers are to live,
            // writable locals, of `returned_bytes` and of this function.
            unsafe {
                proxy_get_shared_data(name.as_ptr(), name.len(), data, size, &raw mut version)
            }
        })?;
        Ok((bytes, version))
    }

    fn set_shared(&self, name: &str, value: &[u8], version: u32) -> Result<(), HostError> {
        // SAFETY: pointers and sizes are those of live slices; the host copies before it returns.
        HostError::check(unsafe {
            proxy_set_shared_data(
                name.as_ptr(),
                name.len(),
                value.as_ptr(),
                value.len(),
                version,
            )
        })
    }

    fn set_request_header(&self, name: &str, value: &str) -> Result<(), HostError> {
        // SAFETY: pointers and sizes are those of live slices; the host copies before it returns.
        HostError::check(unsafe {
            proxy_replace_header_map_value(
                REQUEST_HEADERS,
                name.as_ptr(),
                name.len(),
                value.as_ptr(),
                value.len(),
            )
        })
    }

    fn remove_request_header(&self, name: &str) -> Result<(), HostError> {
        // SAFETY: pointer and size are those of a live slice; the host only reads it during the call.
        HostError::check(unsafe {
            proxy_remove_header_map_value(REQUEST_HEADERS, name.as_ptr(), name.len())
        })
    }

    fn set_filter_state(&self, name: &str, value: &str) -> Result<(), HostError> {
        // SAFETY: pointers and sizes are those of live slices; the host copies before it returns.
        HostError::check(unsafe {
            proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len())
        })
    }

    fn reply(&self, reply: &Reply) -> Result<(), HostError> {
        let pairs = reply
            .headers
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let headers = headers::serialize(pairs);
        // SAFETY: pointers and sizes are those of live slices; the host copies before it returns.
        HostError::check(unsafe {
            proxy_send_local_response(
                u32::from(reply.status),
                reply.details.as_ptr(),
                reply.details.len(),
                reply.body.as_ptr(),
                reply.body.len(),
                headers.as_ptr(),
                headers.len(),
                i32::from(reply.grpc_status),
            )
        })
    }

    fn reset(&self) -> Result<(), HostError> {
        // SAFETY: takes no pointer.
        HostError::check(unsafe { proxy_close_stream(REQUEST) })
    }

    fn property(&self, path: &[&str]) -> Result<Vec<u8>, HostError> {
        let path = path.join("\0");
        returned_bytes(|data, size| {
            // SAFETY: the path is a live slice that the host only reads during the call; the other pointers are to live,
            // writable locals of `returned_bytes`.
            unsafe { proxy_get_property(path.as_ptr(), path.len(), data, size) }
        })
    }

    fn grpc_call(&self, call: &GrpcCall<'_>) -> Result<(), HostError> {
        let metadata = headers::serialize([].into_iter());
        let mut token = 0;
        // SAFETY: pointers and sizes are those of live slices, which the host copies before it returns; `token` is a live,
        // writable local.
        HostError::check(unsafe {
            proxy_grpc_call(
                call.target.as_ptr(),
                call.target.len(),
                call.service.as_ptr(),
                call.service.len(),
                call.method.as_ptr(),
                call.method.len(),
                metadata.as_ptr(),
                metadata.len(),
                call.message.as_ptr(),
                call.message.len(),
                milliseconds(call.timeout),
                &raw mut token,
            )
        })
    }

    fn plugin_configuration(&self) -> Result<Vec<u8>, HostError> {
        returned_bytes(|data, size| {
            // SAFETY: both pointers are to live, writable locals of `returned_bytes`. The largest 32-bit length that
            // cannot overflow with a start of 0; the host clamps it.
            unsafe {
                proxy_get_buffer_bytes(PLUGIN_CONFIGURATION, 0, i32::MAX as usize, data, size)
            }
        })
    }

    fn set_tick_period(&self, period: Duration) -> Result<(), HostError> {
        // SAFETY: takes no pointer.
        HostError::check(unsafe { proxy_set_tick_period_milliseconds(milliseconds(period)) })
    }

    fn done(&self) -> Result<(), HostError> {
        // SAFETY: takes no pointer.
        HostError::check(unsafe { proxy_done() })
    }

    fn monotonic_time(&self) -> Result<Duration, HostError> {
        let mut nanoseconds = 0;
        // SAFETY: `nanoseconds` is a live, writable local.
        HostError::check(unsafe { clock_time_get(MONOTONIC, 0, &raw mut nanoseconds) })?;
        Ok(Duration::from_nanos(nanoseconds))
    }

    fn enter(&self, context: u32) -> Result<(), HostError> {
        // SAFETY: takes no pointer.
        HostError::check(unsafe { proxy_set_effective_context(context) })
    }

    fn define_counter(&self, name: &str) -> Result<u32, HostError> {
        define_metric(COUNTER, name)
    }

    fn define_gauge(&self, name: &str) -> Result<u32, HostError> {
        define_metric(GAUGE, name)
    }

    fn move_gauge(&self, id: u32, change: i64) -> Result<(), HostError> {
        // SAFETY: takes no pointer.
        HostError::check(unsafe { proxy_increment_metric(id, change) })
    }

    fn add_to_counter(&self, id: u32, amount: u64) -> Result<(), HostError> {
        let offset = i64::try_from(amount).unwrap_or(i64::MAX);
        // SAFETY: takes no pointer.
        HostError::check(unsafe { proxy_increment_metric(id, offset) })
    }

    fn log(&self, level: LogLevel, message: &str) {
        let level = match level {
            LogLevel::Debug => 1,
            LogLevel::Info => 2,
            LogLevel::Warn => 3,
            LogLevel::Error => 4,
            LogLevel::Critical => 5,
        };
        // SAFETY: pointer and size are those of a live slice; the host only reads it during the call.
        let _no_log_of_a_lost_log = unsafe { proxy_log(level, message.as_ptr(), message.len()) };
    }
}
