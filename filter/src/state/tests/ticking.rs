//! The root context that ticks, and the ends of the others.

use std::rc::Weak;
use std::time::Duration;

use super::super::ticking::TICK;
use super::*;
use crate::stream::Stream;

const WITH_MEMBERS: &str = r#"{"format":1,"epoch":EPOCH,"cluster":"c","members":[
    {"id":"a","address":"127.0.0.1:1","weight":1}]}"#;

/// A configuration, in a callback of its root.
fn comes(vm: &Vm, host: &MockHost, root: u32, epoch: u32) {
    host.in_callback_of(root);
    let json = WITH_MEMBERS.replace("EPOCH", &epoch.to_string());
    assert!(configure(vm, host, root, &json));
}

/// A request that is refused, in a callback that is one of the root's.
fn request(vm: &Vm, host: &MockHost, root: u32) {
    host.request(&[(":path", "/x")]);
    host.in_callback_of(root);
    Stream::new(1000, root, false).request_headers(vm, host, true);
}

#[test]
fn a_vm_without_requests_has_no_timer_and_counts_all_the_same() {
    let host = MockHost::default();
    let vm = Vm::new();
    comes(&vm, &host, 1, 1);
    comes(&vm, &host, 2, 2);
    assert!(vm.done(&host, 1));
    assert_eq!(host.counter("yorkies.config.updates"), 2);
    assert!(vm.done(&host, 2));
    assert!(host.timers().is_empty());
    assert!(host.done_late().is_empty());
}

#[test]
fn there_is_one_timer_however_many_configurations_come() {
    let host = MockHost::default();
    let vm = Vm::new();
    comes(&vm, &host, 1, 1);
    request(&vm, &host, 1);
    assert_eq!(host.tick_period(), Some(TICK));
    for root in 2..100 {
        comes(&vm, &host, root, root);
        request(&vm, &host, root);
        host.in_callback_of(root - 1);
        // Only the root that ticks is kept, whatever becomes of the others.
        assert_eq!(vm.done(&host, root - 1), root != 2);
        host.in_callback_of(1);
        vm.tick(&host, 1);
    }
    assert_eq!(host.timers(), BTreeSet::from([Some(1)]));
    assert_eq!(epoch(&vm), Some(99));
    assert_eq!(host.counter("yorkies.requests.refused.no_key"), 99);
}

#[test]
fn the_root_that_ticks_ends_with_the_last_of_the_others() {
    let host = MockHost::default();
    let vm = Vm::new();
    comes(&vm, &host, 1, 1);
    request(&vm, &host, 1);
    comes(&vm, &host, 2, 2);
    comes(&vm, &host, 3, 3);
    host.in_callback_of(1);
    assert!(!vm.done(&host, 1));
    host.in_callback_of(3);
    assert!(vm.done(&host, 3));
    assert!(host.done_late().is_empty());
    host.in_callback_of(2);
    assert!(vm.done(&host, 2));
    assert_eq!(host.done_late(), [Some(1)]);
    assert_eq!(host.tick_period(), Some(Duration::ZERO));
    assert_eq!(host.entered(), Some(2), "it has come back");
}

#[test]
fn a_root_that_ticks_and_is_the_last_ends_at_once() {
    let host = MockHost::default();
    let vm = Vm::new();
    comes(&vm, &host, 1, 1);
    request(&vm, &host, 1);
    assert!(vm.done(&host, 1));
    assert!(host.done_late().is_empty());
    assert_eq!(host.tick_period(), Some(Duration::ZERO));
    assert_eq!(host.counter("yorkies.requests.refused.no_key"), 1);
}

#[test]
fn a_root_that_is_configured_twice_ends_once() {
    let host = MockHost::default();
    let vm = Vm::new();
    comes(&vm, &host, 1, 1);
    comes(&vm, &host, 1, 2);
    request(&vm, &host, 1);
    assert!(vm.done(&host, 1));
    assert_eq!(host.tick_period(), Some(Duration::ZERO));
}

#[test]
fn the_table_of_an_assignment_goes_with_it() {
    let host = MockHost::default();
    let vm = Vm::new();
    comes(&vm, &host, 1, 1);
    request(&vm, &host, 1);
    let assignment = vm.current().unwrap().assignment.clone().unwrap();
    assert!(assignment.owner(b"p/d").is_some());
    let old: Weak<_> = Rc::downgrade(&assignment);
    drop(assignment);
    comes(&vm, &host, 2, 2);
    assert!(old.upgrade().is_none());
}

#[test]
fn a_vm_that_was_left_looks_for_the_next_configuration_while_it_ticks_quickly() {
    let host = MockHost::default();
    let (old, new) = (Vm::new(), Vm::new());
    comes(&old, &host, 1, 1);
    request(&old, &host, 1);
    comes(&new, &host, 7, 2);
    let quick = Duration::from_millis(100);
    for _ in 0..30 {
        host.pass(quick);
        host.in_callback_of(1);
        // As long as ends are due soon.
        old.pace(&host, quick);
        old.tick(&host, 1);
    }
    assert_eq!(epoch(&old), Some(2));
}
