use super::*;
use crate::ads::support::{Any, CDS, ECDS, EDS, Named, snapshot};
use prost::Message;

#[test]
fn every_type_is_found_by_its_url() {
    for kind in ResourceType::ALL {
        assert_eq!(ResourceType::from_type_url(kind.type_url()), Some(kind));
    }
    assert_eq!(ResourceType::from_type_url("Cluster"), None);
}

#[test]
fn one_encoding_serves_both_variants() {
    let now = snapshot(&[(ECDS, "f", "content")]);
    let resource = &now.of(ECDS)["f"];
    let any = Any::decode(resource.any()).unwrap();
    assert_eq!(any.type_url, ECDS.type_url());
    assert_eq!(any.value, b"content");
    let named = Named::decode(resource.named()).unwrap();
    assert_eq!(named.name, "f");
    assert_eq!(named.version, **resource.version());
    assert_eq!(named.resource, Some(any));
    assert_eq!(resource.bytes(), "content");
    assert_eq!(
        resource.any().as_ptr_range().end,
        resource.named().as_ptr_range().end
    );
}

#[test]
fn an_empty_message_is_a_resource_too() {
    let now = snapshot(&[(ECDS, "f", "")]);
    let any = Any::decode(now.of(ECDS)["f"].any()).unwrap();
    assert!(any.value.is_empty());
}

#[test]
fn versions_depend_on_content_alone() {
    let one = snapshot(&[(CDS, "a", "1"), (CDS, "b", "2"), (EDS, "a", "3")]);
    let other = snapshot(&[(EDS, "a", "3"), (CDS, "b", "2"), (CDS, "a", "1")]);
    for kind in [CDS, EDS] {
        for (name, resource) in one.of(kind) {
            assert_eq!(resource.version(), other.of(kind)[name].version());
        }
    }
    let changed = snapshot(&[(CDS, "a", "1"), (CDS, "b", "3"), (EDS, "a", "3")]);
    assert_ne!(one.of(CDS)["b"].version(), changed.of(CDS)["b"].version());
    assert_eq!(one.of(EDS)["a"].version(), changed.of(EDS)["a"].version());
}

#[test]
fn what_depends_on_a_resource_changes_its_version_with_it() {
    let one = snapshot(&[(CDS, "a", "1"), (EDS, "a", "e")]);
    let two = snapshot(&[(CDS, "a", "2"), (EDS, "a", "e")]);
    assert_ne!(one.of(EDS)["a"].version(), two.of(EDS)["a"].version());
    assert_eq!(one.of(EDS)["a"].bytes(), two.of(EDS)["a"].bytes());
    let alone = Resource::new("a", "e".as_bytes());
    assert_ne!(one.of(EDS)["a"].version(), alone.version());
}

#[test]
fn of_two_resources_of_a_name_the_later_counts() {
    let now = snapshot(&[(ECDS, "f", "1"), (ECDS, "f", "2")]);
    assert_eq!(now.of(ECDS)["f"].bytes(), "2");
    assert_eq!(now.of(ECDS).len(), 1);
}
