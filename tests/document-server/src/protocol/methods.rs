//! The services and methods that exist, from the compiled protocol files.

use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, MethodDescriptor};

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let descriptors = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin")).as_slice();
    DescriptorPool::decode(descriptors).expect("the build wrote valid descriptors")
});

/// The method of a service, both as named in a request's path.
#[must_use]
pub fn find(service: &str, method: &str) -> Option<MethodDescriptor> {
    POOL.get_service_by_name(service)?
        .methods()
        .find(|candidate| candidate.name() == method)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_watches_are_streams() {
        let mut streaming: Vec<String> = POOL
            .services()
            .flat_map(|service| service.methods().collect::<Vec<_>>())
            .filter(MethodDescriptor::is_server_streaming)
            .map(|method| method.full_name().to_owned())
            .collect();
        streaming.sort();
        assert_eq!(
            streaming,
            [
                "grpc.health.v1.Health.Watch",
                "yorkie.v1.YorkieService.Watch",
                "yorkie.v1.YorkieService.WatchChannel",
                "yorkie.v1.YorkieService.WatchDocument",
            ]
        );
    }

    #[test]
    fn unknown_names_are_not_found() {
        assert!(find("yorkie.v1.YorkieService", "Nope").is_none());
        assert!(find("yorkie.v2.YorkieService", "Watch").is_none());
    }
}
