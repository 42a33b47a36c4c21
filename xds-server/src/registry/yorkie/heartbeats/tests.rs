use super::*;

const EVERY: Duration = Duration::from_secs(5);

/// Beyond what a clock that began with its machine can go back.
const AGES_AGO: Duration = Duration::from_secs(u64::MAX / 4);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Rows by the ages of their heartbeats: the first is `a`, then `b` and so on;
/// none is a row that is not there.
fn rows(ages: &[Option<u64>]) -> Vec<Row> {
    let ids = ('a'..).zip(ages);
    let there = ids.filter_map(|(id, age)| {
        Some(Row {
            id: id.into(),
            age: Some(seconds((*age)?)),
        })
    });
    there.collect()
}

/// Who lives, or why that is not believed.
fn told(read: Result<Vec<String>, Unbelieved>) -> String {
    read.map_or_else(|problem| problem.to_string(), |ids| ids.concat())
}

/// Readings, each at its second, of which every row makes sense.
fn readings() -> impl FnMut(u64, &[Option<u64>]) -> String {
    let (mut heartbeats, start) = (Heartbeats::new(EVERY), Instant::now());
    move |second, ages| told(heartbeats.read(&rows(ages), true, start + seconds(second)))
}

fn most(gone: usize, all: usize) -> String {
    let hold = seconds(10);
    Unbelieved::Most { gone, all, hold }.to_string()
}

fn silent(all: usize) -> String {
    Unbelieved::Silent(all).to_string()
}

#[test]
fn a_server_lives_for_twice_the_time_of_a_heartbeat() {
    let mut read = readings();
    assert_eq!(read(0, &[Some(0), Some(4), Some(10)]), "abc");
    assert_eq!(read(1, &[Some(1), Some(0), Some(11)]), "ab");
    // Until it has another.
    assert_eq!(read(9, &[Some(4), Some(3), Some(19)]), "ab");
    assert_eq!(read(10, &[Some(0), Some(4), Some(0)]), "abc");
}

#[test]
fn whoever_takes_its_row_out_has_left_at_once() {
    let mut read = readings();
    assert_eq!(read(0, &[Some(0), Some(1), Some(2)]), "abc");
    assert_eq!(read(1, &[None, Some(2), Some(3)]), "bc");
    assert_eq!(read(2, &[Some(0), None, Some(4)]), "ac");
}

#[test]
fn a_row_that_is_old_when_it_is_first_seen_is_of_nobody() {
    let mut read = readings();
    assert_eq!(read(0, &[Some(0)]), "a");
    assert_eq!(read(1, &[Some(1), Some(11), Some(1000)]), "a");
}

#[test]
fn at_the_start_an_old_row_gets_the_time_in_which_it_can_be_written_anew() {
    let mut read = readings();
    assert_eq!(read(0, &[Some(0), Some(0), Some(60)]), most(1, 3));
    assert_eq!(read(1, &[Some(1), Some(1), Some(0)]), "abc");
    let mut read = readings();
    assert_eq!(read(0, &[Some(0), Some(0), Some(60)]), most(1, 3));
    assert_eq!(read(9, &[Some(0), Some(0), Some(69)]), most(1, 3));
    assert_eq!(read(10, &[Some(0), Some(0), Some(70)]), "ab");
}

#[test]
fn while_nobody_can_write_all_are_kept_and_then_each_has_a_whole_time() {
    let mut read = readings();
    let all = |age| [Some(age), Some(age + 1), Some(age + 2), Some(age + 3)];
    assert_eq!(read(0, &all(0)), "abcd");
    assert_eq!(read(7, &all(7)), "abcd");
    // The first is too old, and none of the others young.
    assert_eq!(read(8, &all(8)), most(1, 4));
    assert_eq!(read(60, &all(60)), silent(4));
    let back = [Some(0), Some(61), Some(62), Some(63)];
    assert_eq!(read(61, &back), most(3, 4));
    // One of four may be gone, but not when it was waited for a moment ago.
    let nearly = [Some(4), Some(0), Some(1), Some(67)];
    assert_eq!(read(65, &nearly), most(1, 4));
    assert_eq!(read(69, &[Some(3), Some(4), Some(0), Some(71)]), most(1, 4));
    assert_eq!(read(70, &[Some(4), Some(0), Some(1), Some(72)]), "abc");
}

#[test]
fn whoever_fell_silent_together_is_kept_however_their_heartbeats_were_spread() {
    for last in 0..5 {
        let mut read = readings();
        assert_eq!(read(0, &[Some(5), Some(last), Some(last)]), "abc");
        let then = [Some(11), Some(last + 6), Some(last + 6)];
        assert_eq!(read(6, &then), most(1, 3), "{last}");
    }
}

#[test]
fn rows_that_were_taken_out_for_their_age_are_waited_for() {
    let mut read = readings();
    let all = [Some(0); 5];
    assert_eq!(read(0, &all), "abcde");
    assert_eq!(read(30, &[]), silent(5));
    assert_eq!(read(31, &[None, Some(0)]), most(4, 5));
    assert_eq!(read(33, &[Some(0), Some(2), Some(1)]), most(2, 5));
    assert_eq!(read(35, &all), "abcde");
    // Not only after a time: most at once is no wish.
    assert_eq!(read(36, &[Some(1), Some(1)]), most(3, 5));
    assert_eq!(read(45, &[Some(1), Some(1)]), most(3, 5));
    assert_eq!(read(46, &[Some(1), Some(1)]), "ab");
}

#[test]
fn at_the_start_most_of_the_rows_are_not_taken_for_old() {
    let mut read = readings();
    assert_eq!(read(0, &[]), Unbelieved::Empty.to_string());
    assert_eq!(read(1, &[Some(99), Some(98)]), silent(2));
    assert_eq!(read(2, &[Some(0), Some(99), Some(100)]), most(1, 2));
    assert_eq!(read(3, &[Some(1), Some(0)]), "ab");
    let mut read = readings();
    let mixed = [Some(0), Some(30), Some(31)];
    assert_eq!(read(0, &mixed), most(2, 3));
    assert_eq!(read(10, &mixed), "a");
}

#[test]
fn the_last_is_not_taken_out_whatever_its_age() {
    let mut read = readings();
    assert_eq!(read(0, &[Some(0)]), "a");
    assert_eq!(read(1000, &[Some(1000)]), silent(1));
    assert_eq!(read(2000, &[]), silent(1));
    assert_eq!(read(2001, &[Some(0)]), "a");
}

#[test]
fn a_row_that_makes_no_sense_is_no_sign_of_having_left() {
    let (mut heartbeats, start) = (Heartbeats::new(EVERY), Instant::now());
    let mut read = |second, rows: &[Row], is_whole| {
        told(heartbeats.read(rows, is_whole, start + seconds(second)))
    };
    let all = rows(&[Some(0), Some(0), Some(0)]);
    assert_eq!(read(0, &all, true), "abc");
    // One of them may be the one that is left out.
    assert_eq!(read(1, &all[1..], false), "abc");
    // Without a time there is no heartbeat, but there is somebody.
    let unclear = Row {
        age: None,
        ..all[0].clone()
    };
    let of_a = |row: Row| [row, all[1].clone(), all[2].clone()];
    assert_eq!(read(10, &of_a(unclear.clone()), true), "abc");
    assert_eq!(read(11, &of_a(unclear), true), "bc");
    let ancient = Row {
        age: Some(AGES_AGO),
        ..all[0].clone()
    };
    assert_eq!(read(12, &of_a(ancient), true), "bc");
}
