use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const TTL: Duration = Duration::from_secs(10);

/// A look before it is over.
const ALMOST: Duration = Duration::from_secs(9);

fn member(id: &str, port: u16) -> Member {
    Member::new(id, ([10, 0, 0, 1], port).into(), 1)
}

fn acquire(book: &mut Book, member: Member, now: Instant) -> u64 {
    acquire_for(book, member, TTL, now)
}

fn acquire_for(book: &mut Book, member: Member, ttl: Duration, now: Instant) -> u64 {
    let acquired = book.acquire(member, ttl, 0, now).unwrap();
    let token = acquired.lease.token;
    book.enter(acquired);
    token
}

fn ids(book: &Book) -> Vec<&str> {
    book.leases().map(|lease| &*lease.member.id).collect()
}

/// Looks as often as it has to, up to then.
fn wait(book: &mut Book, from: Instant, until: Instant) -> Vec<String> {
    let mut gone = Vec::new();
    let mut now = from;
    while now < until {
        now = (now + LOOKING).min(until);
        gone.extend(book.expire(now).gone);
    }
    gone
}

fn empty(now: Instant) -> Book {
    Book::open([], 0, now)
}

/// One whose lease lasts: nobody but it is left without being doubted.
fn another(book: &mut Book, now: Instant) {
    acquire_for(book, member("z", 9), 1000 * TTL, now);
}

#[test]
fn a_lease_lasts_its_time_after_each_renewal() {
    let start = Instant::now();
    let mut book = empty(start);
    another(&mut book, start);
    let token = acquire(&mut book, member("a", 1), start);
    let late = start + ALMOST;
    assert!(wait(&mut book, start, late).is_empty());
    book.renew("a", token, late).unwrap();
    assert!(wait(&mut book, late, late + ALMOST).is_empty());
    assert_eq!(wait(&mut book, late + ALMOST, late + TTL), ["a"]);
    let unknown = LeaseError::Unknown { id: "a".to_owned() };
    assert_eq!(book.renew("a", token, late + TTL), Err(unknown));
}

#[test]
fn whoever_acquires_it_again_makes_the_token_before_stale() {
    let now = Instant::now();
    let mut book = empty(now);
    let first = acquire(&mut book, member("a", 1), now);
    let second = acquire(&mut book, member("a", 2), now);
    assert!(second > first);
    let stale = LeaseError::Stale {
        id: "a".to_owned(),
        token: first,
        current: second,
    };
    assert_eq!(book.renew("a", first, now), Err(stale.clone()));
    assert_eq!(book.release("a", first), Err(stale));
    book.renew("a", second, now).unwrap();
    book.release("a", second).unwrap();
    assert!(ids(&book).is_empty());
    assert!(acquire(&mut book, member("a", 1), now) > second);
}

#[test]
fn whoever_comes_to_an_address_ousts_who_was_there() {
    let now = Instant::now();
    let mut book = empty(now);
    acquire(&mut book, member("a", 1), now);
    let acquired = book.acquire(member("b", 1), TTL, 0, now).unwrap();
    assert_eq!(acquired.ousted.as_deref(), Some("a"));
    book.enter(acquired);
    assert_eq!(ids(&book), ["b"]);
}

#[test]
fn what_cannot_be_a_member_gets_no_lease() {
    let now = Instant::now();
    let mut book = empty(now);
    acquire(&mut book, member("a", 1), now);
    for (bad, message) in [
        (member("b c", 2), "member id \"b c\" is not usable"),
        (member("b", 0), "which cannot be connected to"),
    ] {
        let error = book.acquire(bad, TTL, 0, now).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
    assert_eq!(ids(&book), ["a"]);
}

#[test]
fn tokens_go_on_from_the_last_and_from_the_clock() {
    let now = Instant::now();
    let book = Book::open([(member("a", 1), TTL, 7)], 5, now);
    let token = |at_least| {
        let acquired = book.acquire(member("b", 2), TTL, at_least, now);
        acquired.unwrap().lease.token
    };
    assert_eq!((token(0), token(8), token(1000)), (8, 8, 1000));
}

#[test]
fn after_a_restart_everybody_has_a_whole_time() {
    let now = Instant::now();
    let mut book = Book::open([(member("a", 1), TTL, 3)], 3, now);
    assert!(wait(&mut book, now, now + ALMOST).is_empty());
    book.renew("a", 3, now + ALMOST).unwrap();
    assert!(wait(&mut book, now + ALMOST, now + TTL).is_empty());
}

#[test]
fn a_time_without_this_process_is_nobodys_fault() {
    let start = Instant::now();
    let mut book = empty(start);
    another(&mut book, start);
    let token = acquire(&mut book, member("a", 1), start);
    let back = start + 100 * TTL;
    assert_eq!(book.expire(back), Over::default());
    book.renew("a", token, back).unwrap();
    assert_eq!(wait(&mut book, back, back + TTL), ["a"]);
}

/// Five, whose leases were renewed a second apart, and their tokens.
fn five(start: Instant) -> (Book, Vec<(String, u64)>) {
    let mut book = empty(start);
    let held = (0..5).map(|number| {
        let id = format!("m{number}");
        let since = start + Duration::from_secs(u64::from(number));
        let token = acquire(&mut book, member(&id, 1 + number), since);
        (id, token)
    });
    let held = held.collect();
    (book, held)
}

#[test]
fn when_nobody_is_heard_of_all_stay_and_each_has_a_whole_time_from_the_first_that_is() {
    let start = Instant::now();
    let (mut book, held) = five(start);
    let back = start + 10 * TTL;
    assert!(wait(&mut book, start, back).is_empty());
    let renew = |book: &mut Book, number: usize, now| {
        let (id, token) = &held[number];
        book.renew(id, *token, now).unwrap();
    };
    renew(&mut book, 0, back);
    renew(&mut book, 1, back + TTL / 2);
    renew(&mut book, 2, back + TTL / 2);
    let over = wait(&mut book, back, back + ALMOST);
    assert!(over.is_empty(), "{over:?}");
    renew(&mut book, 0, back + ALMOST);
    // The last look at which nobody was heard of was just before.
    let over = wait(&mut book, back + ALMOST, back + TTL);
    assert_eq!(over, ["m3", "m4"]);
}

#[test]
fn when_most_are_late_at_once_not_even_the_first_is_taken_out() {
    let start = Instant::now();
    let (mut book, held) = five(start);
    // One is on the same side of whatever is broken.
    let (near, token) = &held[4];
    let mut gone = Vec::new();
    for second in 0..30 {
        let now = start + Duration::from_secs(second);
        book.renew(near, *token, now).unwrap();
        let Over { gone: over, kept } = book.expire(now);
        assert_eq!(
            !kept.is_empty(),
            (10..20).contains(&second),
            "{second}: {kept:?}"
        );
        gone.extend(over.into_iter().map(|id| (second, id)));
    }
    let all = ["m0", "m1", "m2", "m3"];
    assert_eq!(gone, all.map(|id| (20, id.to_owned())));
}

#[test]
fn a_time_without_this_process_counts_neither_for_those_who_are_kept() {
    let start = Instant::now();
    let (mut book, _) = five(start);
    let silent = start + 2 * TTL;
    assert!(wait(&mut book, start, silent).is_empty());
    acquire(&mut book, member("new", 9), silent);
    assert_eq!(book.expire(silent).kept.len(), 5);
    assert_eq!(book.expire(silent + 100 * TTL).kept.len(), 5);
}

#[derive(Debug, Clone)]
enum Step {
    Acquire(u8, u16),
    Renew(u8, bool),
    Release(u8, bool),
    Wait(u64),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..4u8, 1..5u16).prop_map(|(id, port)| Step::Acquire(id, port)),
        (0..4u8, any::<bool>()).prop_map(|(id, is_held)| Step::Renew(id, is_held)),
        (0..4u8, any::<bool>()).prop_map(|(id, is_held)| Step::Release(id, is_held)),
        (1..15u64).prop_map(Step::Wait),
        Just(Step::Restart),
    ]
}

/// Everything that was ever said, and what follows from it.
#[derive(Default)]
struct Model {
    /// By id: token, port, second of the last sign of life.
    held: BTreeMap<String, (u64, u16, u64)>,
    given: BTreeSet<u64>,
    stale: BTreeMap<String, u64>,
    doubt: Doubt,
}

impl Model {
    /// Those who go at that second.
    fn over(&mut self, start: Instant, second: u64) -> Vec<String> {
        let late = |since: u64| Duration::from_secs(second - since) > Times::of(TTL).soft;
        let is_over = |since: u64| since + TTL.as_secs() <= second;
        let since = || self.held.values().map(|(_, _, since)| *since);
        let heard = Heard {
            all: self.held.len(),
            late: since().filter(|since| late(*since)).count(),
            silent: since().filter(|since| is_over(*since)).count(),
        };
        if self
            .doubt
            .keeps(heard, TTL, start + Duration::from_secs(second))
        {
            return Vec::new();
        }
        let gone = self.held.extract_if(.., |_, (_, _, since)| is_over(*since));
        gone.map(|(id, _)| id).collect()
    }
}

proptest! {
    #[test]
    fn the_book_does_what_was_said(steps in prop::collection::vec(step(), 0..60)) {
        let start = Instant::now();
        let mut second = 0;
        let mut book = empty(start);
        let mut model = Model::default();
        for step in steps {
            let now = start + Duration::from_secs(second);
            match step {
                Step::Acquire(id, port) => {
                    let id = id.to_string();
                    let token = acquire(&mut book, member(&id, port), now);
                    prop_assert!(model.given.iter().all(|given| *given < token));
                    model.given.insert(token);
                    model.held.retain(|held, (_, at, _)| *held == id || *at != port);
                    if let Some((before, ..)) = model.held.insert(id.clone(), (token, port, second)) {
                        model.stale.insert(id, before);
                    }
                }
                Step::Renew(id, is_held) | Step::Release(id, is_held) => {
                    let id = id.to_string();
                    let stale = model.stale.get(&id).copied().unwrap_or_default();
                    let held = model.held.get(&id).map(|(token, ..)| *token);
                    let token = held.filter(|_| is_held).unwrap_or(stale);
                    let done = if let Step::Renew(..) = step {
                        book.renew(&id, token, now)
                    } else {
                        book.release(&id, token)
                    };
                    match (held, done) {
                        (Some(held), Ok(())) => {
                            prop_assert_eq!(held, token);
                            if let Step::Release(..) = step {
                                model.held.remove(&id);
                            } else if let Some(held) = model.held.get_mut(&id) {
                                held.2 = second;
                            }
                        }
                        (Some(held), Err(LeaseError::Stale { .. })) => prop_assert_ne!(held, token),
                        (None, Err(LeaseError::Unknown { .. })) => {}
                        (held, done) => prop_assert!(false, "{held:?} {done:?}"),
                    }
                }
                Step::Wait(seconds) => {
                    let until = second + seconds;
                    let gone = wait(&mut book, now, start + Duration::from_secs(until));
                    let over: Vec<_> = (second + 1..=until)
                        .flat_map(|second| model.over(start, second))
                        .collect();
                    second = until;
                    prop_assert_eq!(gone, over);
                }
                Step::Restart => {
                    let kept: Vec<_> = book
                        .leases()
                        .map(|lease| (lease.member.clone(), lease.ttl, lease.token))
                        .collect();
                    book = Book::open(kept, book.last_token, now);
                    model.held.values_mut().for_each(|held| held.2 = second);
                    model.doubt = Doubt::default();
                }
            }
            let held: Vec<_> = model.held.keys().map(String::as_str).collect();
            prop_assert_eq!(ids(&book), held);
            prop_assert!(book.roster().is_ok());
        }
    }
}
