//! Resources that are not for everybody.

use super::*;
use crate::snapshot::{Audience, Resource};

#[test]
fn what_is_for_those_who_name_it_is_not_part_of_everything() {
    let hidden = Resource::new("hidden", "hidden".as_bytes()).for_audience(Audience::ByName);
    let open = Resource::new("open", "open".as_bytes());
    let now = Arc::new(Snapshot::new([(LDS, hidden), (LDS, open)]));
    for all in [&[][..], &["*"]] {
        let mut session = session();
        assert_eq!(
            tell(&mut session, ask(LDS, all, &[]), &now),
            [texts(LDS, &["open"])]
        );
        let told_now = tell(&mut session, ask(LDS, &["hidden"], &[]), &now);
        assert_eq!(told_now, [texts(LDS, &["hidden"])]);
        let told_now = tell(&mut session, ask(LDS, &[], &["hidden"]), &now);
        assert_eq!(told_now, [texts(LDS, &["-hidden"])]);
    }
}
