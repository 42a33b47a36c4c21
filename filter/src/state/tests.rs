use super::*;
use crate::mock::MockHost;

mod ticking;

const GOOD: &str = r#"{"format":1,"epoch":7,"cluster":"c","members":[]}"#;

fn configured(host: &MockHost) -> Vm {
    let vm = Vm::new();
    assert!(configure(&vm, host, 1, GOOD));
    vm
}

fn configure(vm: &Vm, host: &MockHost, root: u32, json: &str) -> bool {
    host.configuration(json);
    vm.configure(host, root).can_serve
}

fn epoch(vm: &Vm) -> Option<u64> {
    vm.current().map(|current| current.config.epoch)
}

fn count(vm: &Vm, host: &MockHost, name: &str) -> u64 {
    vm.metrics.flush(host).unwrap();
    host.counter(name)
}

#[test]
fn a_fresh_vm_refuses_what_it_cannot_read() {
    for json in ["", "{}", r#"{"format":2}"#, "\u{0}"] {
        let host = MockHost::default();
        assert!(!configure(&Vm::new(), &host, 1, json));
        assert_eq!(host.logged(LogLevel::Error).len(), 1);
        assert_eq!(host.counter("yorkies.config.rejected"), 1);
    }
}

#[test]
fn a_vm_with_a_good_state_keeps_it() {
    let host = MockHost::default();
    let vm = configured(&host);
    assert!(configure(&vm, &host, 2, r#"{"format":2}"#));
    assert_eq!(epoch(&vm), Some(7));
    assert_eq!(count(&vm, &host, "yorkies.config.rejected"), 1);
    assert_eq!(
        host.logged(LogLevel::Error),
        [
            "yorkies: configuration rejected, epoch 7 stays: filter configuration has format 2: \
             this filter understands format 1"
        ]
    );
}

#[test]
fn a_later_or_equal_epoch_replaces_and_an_earlier_one_does_not() {
    let host = MockHost::default();
    let vm = configured(&host);
    let with_epoch = |epoch: u64| format!(r#"{{"format":1,"epoch":{epoch},"cluster":"d"}}"#);
    assert!(configure(&vm, &host, 2, &with_epoch(6)));
    assert_eq!(vm.current().unwrap().config.cluster, "c");
    assert!(configure(&vm, &host, 3, &with_epoch(7)));
    assert_eq!(vm.current().unwrap().config.cluster, "d");
    assert!(configure(&vm, &host, 4, &with_epoch(8)));
    assert_eq!(epoch(&vm), Some(8));
    assert_eq!(count(&vm, &host, "yorkies.config.stale"), 1);
    assert_eq!(count(&vm, &host, "yorkies.config.updates"), 3);
}

#[test]
fn each_root_is_told_whether_it_is_internal_and_the_table_stays() {
    let host = MockHost::default();
    let vm = configured(&host);
    let before = vm.current().unwrap();
    let internal = GOOD.replace("\"epoch\"", "\"internal\":true,\"epoch\"");
    for (json, expected) in [(internal.as_str(), true), (GOOD, false)] {
        host.configuration(json);
        assert_eq!(vm.configure(&host, 2).internal, expected);
        assert!(Rc::ptr_eq(&before, &vm.current().unwrap()));
    }
    // A stale configuration says it too.
    host.configuration(&internal.replace('7', "6"));
    assert!(vm.configure(&host, 3).internal);
}

#[test]
fn unknown_fields_are_named_and_counted() {
    let host = MockHost::default();
    let vm = Vm::new();
    let json = r#"{"format":1,"epoch":7,"cluster":"c","new":1,"newer":2}"#;
    assert!(configure(&vm, &host, 1, json));
    assert_eq!(count(&vm, &host, "yorkies.config.ignored_fields"), 2);
    assert_eq!(
        host.logged(LogLevel::Warn),
        [r#"yorkies: 2 unknown fields ignored, first ["new", "newer"]"#]
    );
}

#[test]
fn a_host_that_fails_at_everything_leaves_a_vm_that_says_so() {
    let host = MockHost::default();
    let vm = Vm::new();
    host.fail_with(HostError::InternalFailure);
    assert!(!configure(&vm, &host, 1, GOOD));
    host.recover();
    assert!(configure(&vm, &host, 2, GOOD));
    assert_eq!(count(&vm, &host, "yorkies.host.errors"), 2);
}
