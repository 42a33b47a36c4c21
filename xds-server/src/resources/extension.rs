//! ECDS: the filter, its module and its configuration.

use envoy_types::pb::envoy::config::core::v3::async_data_source::Specifier;
use envoy_types::pb::envoy::config::core::v3::{
    AsyncDataSource, DataSource, TypedExtensionConfig, data_source,
};
use envoy_types::pb::envoy::extensions::filters::http::wasm::v3::Wasm;
use envoy_types::pb::envoy::extensions::wasm::v3::plugin_config::Vm;
use envoy_types::pb::envoy::extensions::wasm::v3::{FailurePolicy, PluginConfig, VmConfig};
use envoy_types::pb::google::protobuf::StringValue;
use prost::Message;
use sharding::{FilterConfig, Roster};

use super::{FILTER, any, bool_value};
use crate::module::Module;
use crate::snapshot::{Resource, ResourceType};

const RUNTIME: &str = "envoy.wasm.runtime.v8";

/// The filter under one assignment. It can be varied: blanks at the end of its
/// JSON make other bytes of it.
pub(super) fn resource(
    name: &'static str,
    module: &Module,
    assigned: &FilterConfig,
) -> (ResourceType, Resource) {
    let told = FilterConfig {
        members: assigned.members.as_ref().map(Roster::without_zones),
        ..assigned.clone()
    };
    // Neither a map with odd keys nor a failing writer is involved, so this cannot fail; were it
    // to, the filter would refuse the empty text and keep its last good state.
    let json = told.to_json().unwrap_or_default();
    let resource = super::resource(name, &filter(name, module, json.clone()));
    let module = module.clone();
    let resource = resource.with_variation(move |number| {
        let json = format!("{json}{}", blanks(number));
        filter(name, &module, json).encode_to_vec().into()
    });
    (ResourceType::Extension, resource)
}

/// A number in blanks, none of which any JSON reader minds.
fn blanks(number: u64) -> String {
    let bits = (0..u64::BITS).map(|bit| number >> bit & 1 == 1);
    bits.map(|bit| if bit { '\t' } else { ' ' }).collect()
}

/// The filter under one assignment, in JSON. Between assignments only `configuration`
/// changes, so that Envoy keeps the VM and with it what the filter knows of
/// open streams. `name` is that of the resource; whatever it is, the VM is one.
fn filter(name: &str, module: &Module, json: String) -> TypedExtensionConfig {
    let configuration = StringValue { value: json };
    let config = PluginConfig {
        name: name.to_owned(),
        root_id: name.to_owned(),
        configuration: Some(any(&configuration)),
        // A crashed VM answers 503 until it is up again; a request never passes it by.
        failure_policy: FailurePolicy::FailReload.into(),
        // Lets the filter wait for a request's body (Envoy >= 1.35).
        allow_on_headers_stop_iteration: Some(bool_value(true)),
        vm: Some(Vm::VmConfig(VmConfig {
            vm_id: FILTER.to_owned(),
            runtime: RUNTIME.to_owned(),
            code: Some(AsyncDataSource {
                specifier: Some(Specifier::Local(DataSource {
                    specifier: Some(data_source::Specifier::Filename(
                        module.path_on_proxy.clone(),
                    )),
                    ..DataSource::default()
                })),
            }),
            ..VmConfig::default()
        })),
        ..PluginConfig::default()
    };
    TypedExtensionConfig {
        name: name.to_owned(),
        typed_config: Some(any(&Wasm {
            config: Some(config),
        })),
    }
}
