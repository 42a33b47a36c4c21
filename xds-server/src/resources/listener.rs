//! LDS: the listener, for proxies that do not bring their own. It is a
//! function of the configuration alone: a change of membership must never
//! touch it, since Envoy drains the connections of a changed listener.

use std::time::Duration;

use envoy_types::pb::envoy::config::accesslog::v3::access_log;
use envoy_types::pb::envoy::config::accesslog::v3::AccessLog;
use envoy_types::pb::envoy::config::core::v3::socket_option::{SocketState, Value};
use envoy_types::pb::envoy::config::core::v3::substitution_format_string::Format;
use envoy_types::pb::envoy::config::core::v3::{
    DataSource, ExtensionConfigSource, Http2ProtocolOptions, SocketOption,
    SubstitutionFormatString, TransportSocket, data_source, transport_socket,
};
use envoy_types::pb::envoy::config::listener::v3::{Filter, FilterChain, Listener, filter};
use envoy_types::pb::envoy::extensions::access_loggers::stream::v3::StdoutAccessLog;
use envoy_types::pb::envoy::extensions::access_loggers::stream::v3::stdout_access_log::AccessLogFormat;
use envoy_types::pb::envoy::extensions::filters::http::cors::v3::Cors;
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::http::wasm::v3::Wasm;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::{
    PathWithEscapedSlashesAction, RouteSpecifier, UpgradeConfig,
};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, HttpFilter, Rds, http_filter,
};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CommonTlsContext, DownstreamTlsContext, TlsCertificate,
};
use prost::{Message, Name};

use super::{FILTER, LISTENER, ads, any, bool_value, duration, keepalive, u32_value};
use crate::config::{self, Tls};

/// One line a request, fields by name, the key as the filter made it and, where
/// it was not in the header as it should be, how.
const ACCESS_LOG_LINE: &str = concat!(
    "%START_TIME% method=%REQ(:METHOD)% path=%PATH(NQ)% protocol=%PROTOCOL% ",
    "status=%RESPONSE_CODE% flags=%RESPONSE_FLAGS% details=%RESPONSE_CODE_DETAILS% ",
    "key=%FILTER_STATE(wasm.shard_key:PLAIN)% note=%FILTER_STATE(wasm.shard_note:PLAIN)% ",
    "owner=%REQ(X-SHARD-OWNER)% epoch=%REQ(X-SHARD-EPOCH)% upstream=%UPSTREAM_HOST% ms=%DURATION% ",
    "received=%BYTES_RECEIVED% sent=%BYTES_SENT%\n",
);

/// Envoy's own default, so that a small `max_body` does not narrow it.
const LEAST_BUFFER: u32 = 1024 * 1024;

/// The most that HTTP/2 allows on a connection (RFC 9113, 5.1.1).
const MAX_STREAMS: u32 = (1 << 31) - 1;

/// How many bytes of a connection Envoy takes in at once. A body waits in its
/// buffer while the filter reads it. With this much room the filter says that
/// it is too large, in the caller's protocol, before Envoy does with a bare 413.
pub(super) fn read_limit(max_body: u32) -> u32 {
    max_body.saturating_mul(2).max(LEAST_BUFFER)
}

pub(super) fn listener(config: &config::Listener, max_body: u32) -> Listener {
    Listener {
        name: LISTENER.to_owned(),
        address: Some(super::address(config.address)),
        filter_chains: vec![FilterChain {
            filters: vec![Filter {
                name: "envoy.filters.network.http_connection_manager".to_owned(),
                config_type: Some(filter::ConfigType::TypedConfig(any(&connection_manager(
                    config,
                )))),
            }],
            transport_socket: config.tls.as_ref().map(transport_socket),
            ..FilterChain::default()
        }],
        socket_options: tcp_keepalive(),
        per_connection_buffer_limit_bytes: Some(u32_value(read_limit(max_body))),
        ..Listener::default()
    }
}

fn connection_manager(config: &config::Listener) -> HttpConnectionManager {
    HttpConnectionManager {
        stat_prefix: LISTENER.to_owned(),
        route_specifier: Some(RouteSpecifier::Rds(Rds {
            config_source: Some(ads()),
            route_config_name: LISTENER.to_owned(),
        })),
        http_filters: vec![
            // In front of the filter, so that preflights need no key and refusals carry CORS headers.
            typed_filter("envoy.filters.http.cors", &Cors::default()),
            HttpFilter {
                name: FILTER.to_owned(),
                config_type: Some(http_filter::ConfigType::ConfigDiscovery(
                    ExtensionConfigSource {
                        config_source: Some(ads()),
                        type_urls: vec![Wasm::type_url()],
                        ..ExtensionConfigSource::default()
                    },
                )),
                ..HttpFilter::default()
            },
            typed_filter("envoy.filters.http.router", &Router::default()),
        ],
        http2_protocol_options: Some(Http2ProtocolOptions {
            allow_connect: true,
            // Envoy's default of 1024 would stall a gateway in front that carries everybody's watches.
            max_concurrent_streams: Some(u32_value(MAX_STREAMS)),
            connection_keepalive: Some(keepalive()),
            ..Http2ProtocolOptions::default()
        }),
        // A watch is quiet for as long as nobody edits; peers that are gone are noticed by keepalive.
        stream_idle_timeout: Some(duration(Duration::ZERO)),
        // An HTTP/1.1 stream that is ended early closes its connection only after this.
        delayed_close_timeout: Some(duration(Duration::from_millis(50))),
        upgrade_configs: vec![UpgradeConfig {
            upgrade_type: "websocket".to_owned(),
            ..UpgradeConfig::default()
        }],
        use_remote_address: Some(bool_value(true)),
        normalize_path: Some(bool_value(true)),
        merge_slashes: true,
        // In the path of a plain HTTP call a document can have a slash in its name. The filter sees through one that hides
        // a method, and refuses it in the caller's protocol; Envoy would end a gRPC call with INTERNAL, which is for good.
        path_with_escaped_slashes_action: PathWithEscapedSlashesAction::KeepUnchanged.into(),
        // As long as a client may take over its headers; a request, which can be a watch, may take for ever.
        request_headers_timeout: Some(duration(Duration::from_secs(10))),
        access_log: if config.access_log {
            vec![access_log()]
        } else {
            Vec::new()
        },
        ..HttpConnectionManager::default()
    }
}

pub(super) fn typed_filter<M: Message + Name>(name: &str, config: &M) -> HttpFilter {
    HttpFilter {
        name: name.to_owned(),
        config_type: Some(http_filter::ConfigType::TypedConfig(any(config))),
        ..HttpFilter::default()
    }
}

fn access_log() -> AccessLog {
    let log = StdoutAccessLog {
        access_log_format: Some(AccessLogFormat::LogFormat(SubstitutionFormatString {
            format: Some(Format::TextFormatSource(inline(ACCESS_LOG_LINE))),
            ..SubstitutionFormatString::default()
        })),
    };
    AccessLog {
        name: "envoy.access_loggers.stdout".to_owned(),
        config_type: Some(access_log::ConfigType::TypedConfig(any(&log))),
        ..AccessLog::default()
    }
}

fn transport_socket(tls: &Tls) -> TransportSocket {
    let context = DownstreamTlsContext {
        common_tls_context: Some(CommonTlsContext {
            tls_certificates: vec![TlsCertificate {
                certificate_chain: Some(file(&tls.certificate_chain)),
                private_key: Some(file(&tls.private_key)),
                ..TlsCertificate::default()
            }],
            alpn_protocols: vec!["h2".to_owned(), "http/1.1".to_owned()],
            ..CommonTlsContext::default()
        }),
        ..DownstreamTlsContext::default()
    };
    TransportSocket {
        name: "envoy.transport_sockets.tls".to_owned(),
        config_type: Some(transport_socket::ConfigType::TypedConfig(any(&context))),
    }
}

fn inline(text: &str) -> DataSource {
    DataSource {
        specifier: Some(data_source::Specifier::InlineString(text.to_owned())),
        ..DataSource::default()
    }
}

fn file(path: &str) -> DataSource {
    DataSource {
        specifier: Some(data_source::Specifier::Filename(path.to_owned())),
        ..DataSource::default()
    }
}

/// TCP keepalive as Linux numbers its socket options: a client on HTTP/1.1
/// that vanished would otherwise hold its watch for ever.
fn tcp_keepalive() -> Vec<SocketOption> {
    const SOL_SOCKET: i64 = 1;
    const SO_KEEPALIVE: i64 = 9;
    const IPPROTO_TCP: i64 = 6;
    const TCP_KEEPIDLE: i64 = 4;
    const TCP_KEEPINTVL: i64 = 5;
    const TCP_KEEPCNT: i64 = 6;
    [
        (SOL_SOCKET, SO_KEEPALIVE, 1),
        (IPPROTO_TCP, TCP_KEEPIDLE, 60),
        (IPPROTO_TCP, TCP_KEEPINTVL, 10),
        (IPPROTO_TCP, TCP_KEEPCNT, 3),
    ]
    .map(|(level, name, value)| SocketOption {
        level,
        name,
        value: Some(Value::IntValue(value)),
        state: SocketState::StatePrebind.into(),
        ..SocketOption::default()
    })
    .into()
}
