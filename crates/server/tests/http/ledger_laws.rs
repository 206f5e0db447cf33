//! The laws of the ledger in every interleaving: random programs of payments, transactions,
//! corrections, rollbacks, retries, edits and deletes, several in flight at once, against a real
//! server. The short form is always the same programs; `PROPTEST_CASES=500 cargo test --release
//! -p tollkeeper --test http ledger_laws` tries that many new ones.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use decimal::Decimal;
use jiff::{SignedDuration, Timestamp};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::json;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tollkeeper::clock;
use tollkeeper::journal::{Range, verify_slice};

use crate::movements::{Movement, Wish, reckon};
use crate::proof::{StoredEntry, entries, verify};
use crate::support::{Reply, TestApp};

const ACCOUNTS: i64 = 3;
const TAKEN: &str = "has already been taken";
const NOT_COMPLETED: &str = "Status of payment should be completed";
const OUT_OF_RANGE: &str = "out of range";

/// One step of a program. An index picks among what is there by then.
#[derive(Clone, Debug)]
enum Step {
    New { account: i64, wish: Wish, is_keyed: bool },
    RollBack { payment: Index, is_keyed: bool },
    Retry(Index),
}

/// Groups of steps, each sent at once when the group before is answered. The last group comes
/// with the deletes.
#[derive(Clone, Debug)]
struct Program {
    groups: Vec<Vec<Step>>,
    deletes: BTreeSet<i64>,
}

/// Amounts of which so many in twenty are so large that a sum may be out of range.
fn number(huge: u32) -> impl Strategy<Value = Decimal> {
    const CENT: i128 = 10_i128.pow(10);
    const MAX: i128 = Decimal::MAX.units();
    let units = prop_oneof![
        15 - huge => (-20_000..20_000_i128).prop_map(|cents| cents * CENT),
        4 => any::<i64>().prop_map(i128::from),
        huge => prop_oneof![-MAX..=MAX, select(vec![-MAX, MAX])],
        1 => Just(0),
    ];
    units.prop_map(|units| Decimal::from_units(units).unwrap())
}

fn wish() -> impl Strategy<Value = Wish> {
    let external_id = proptest::option::of(select(vec!["a", "b", "c"]).prop_map(str::to_owned));
    let threshold = || proptest::option::of((-150..150_i64).prop_map(|whole| whole.to_string()));
    let edit = prop_oneof![
        3 => (threshold(), threshold()).prop_map(|(low, high)| {
            json!({"balance-low-threshold": low, "balance-high-threshold": high})
        }),
        1 => (-9..9, -9..9).prop_map(|(min, max)| json!({"min-balance": min, "max-balance": max})),
        1 => (0..4).prop_map(|name| json!({"name": format!("another {name}")})),
    ];
    prop_oneof![
        6 => (number(1), external_id).prop_map(|(amount, id)| Wish::Pay(amount, id)),
        3 => number(1).prop_map(Wish::Charge),
        3 => number(1).prop_map(Wish::Correct),
        2 => number(8).prop_map(Wish::Set),
        3 => edit.prop_map(Wish::Edit),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let new = (1..=ACCOUNTS, wish(), any::<bool>())
        .prop_map(|(account, wish, is_keyed)| Step::New { account, wish, is_keyed });
    let roll_back = (any::<Index>(), any::<bool>())
        .prop_map(|(payment, is_keyed)| Step::RollBack { payment, is_keyed });
    prop_oneof![6 => new, 2 => roll_back, 2 => any::<Index>().prop_map(Step::Retry)]
}

fn program() -> impl Strategy<Value = Program> {
    let deletes = proptest::collection::btree_set(1..=ACCOUNTS, 0..2);
    (vec(vec(step(), 1..10), 1..10), deletes)
        .prop_map(|(groups, deletes)| Program { groups, deletes })
}

/// Every request and its answer, in the order of the answers.
struct Story {
    /// The ids of the accounts, in the order of their numbers in programs, which begin with 1.
    accounts: Vec<i64>,
    answered: Vec<(Movement, Reply)>,
}

impl Story {
    /// The id of the account that a program calls by this number.
    fn account(&self, number: i64) -> i64 {
        self.accounts[usize::try_from(number - 1).unwrap()]
    }

    /// What this group sends. Rollbacks without a payment and retries without a request are
    /// nothing.
    fn movements(&self, number: usize, group: &[Step]) -> Vec<Movement> {
        let paid: Vec<_> =
            self.answered.iter().filter_map(|(movement, reply)| paid(movement, reply)).collect();
        let asked = self.answered.iter().map(|(movement, _)| movement.clone());
        let mut keyed: Vec<Movement> = asked.filter(|movement| movement.is_keyed).collect();
        let mut movements = Vec::new();
        for (at, step) in group.iter().enumerate() {
            let mark = format!("{number}-{at}");
            let movement = match step {
                Step::New { account, wish, is_keyed } => {
                    let (account, wish) = (self.account(*account), wish.clone());
                    Movement { account, wish, mark, is_keyed: *is_keyed }
                }
                Step::RollBack { payment, is_keyed } if !paid.is_empty() => {
                    let (account, payment, amount) = payment.get(&paid).clone();
                    let wish = Wish::RollBack(payment, amount);
                    Movement { account, wish, mark, is_keyed: *is_keyed }
                }
                Step::Retry(earlier) if !keyed.is_empty() => earlier.get(&keyed).clone(),
                _ => continue,
            };
            if movement.is_keyed {
                keyed.push(movement.clone());
            }
            movements.push(movement);
        }
        movements
    }

    async fn tell(&mut self, app: &Arc<TestApp>, movements: Vec<Movement>) {
        let asked = movements.into_iter().map(|movement| {
            let app = Arc::clone(app);
            async move {
                let reply = app.ask(&movement).await;
                (movement, reply)
            }
        });
        self.answered.extend(asked.collect::<JoinSet<_>>().join_all().await);
    }
}

/// Account, id and amount of a payment that was posted.
fn paid(movement: &Movement, reply: &Reply) -> Option<(i64, String, Decimal)> {
    let Wish::Pay(amount, _) = movement.wish else { return None };
    let done = movement.is_done(reply);
    done.then(|| {
        (movement.account, reply.json()["data"]["id"].as_str().unwrap().to_owned(), amount)
    })
}

/// A clock that is set back now and then.
fn wavering() -> Timestamp {
    static LOOKS: AtomicI64 = AtomicI64::new(0);
    let ahead = LOOKS.fetch_add(1, Ordering::Relaxed) % 5 * 20;
    clock::system() + SignedDuration::from_millis(ahead)
}

/// Runs a program and checks every law. Returns the words for what happened in it.
async fn run(program: &Program) -> BTreeSet<&'static str> {
    let app = Arc::new(TestApp::start_at(600, wavering).await);
    let accounts = app.accounts(ACCOUNTS).await;
    let mut story = Story { accounts, answered: Vec::new() };
    let last = program.groups.len() - 1;
    for (number, group) in program.groups.iter().enumerate() {
        let mut movements = story.movements(number, group);
        let deleted = program.deletes.iter().filter(|_| number == last);
        movements.extend(deleted.map(|account| {
            let mark = format!("delete-{account}");
            let account = story.account(*account);
            Movement { account, wish: Wish::Delete, mark, is_keyed: true }
        }));
        story.tell(&app, movements).await;
    }
    verify(&app.database);
    let (checked, rest) = verify_slice(&app.app.store, Range::ALL).await.unwrap();
    assert_eq!((checked.findings, rest.is_some()), (Vec::new(), false));
    let before = app.dump();
    let asked = story.answered.iter().map(|(movement, _)| movement.clone());
    let again: BTreeMap<String, Movement> =
        asked.filter(|asked| asked.is_keyed).map(|asked| (asked.mark.clone(), asked)).collect();
    story.tell(&app, again.into_values().collect()).await;
    assert_eq!(app.dump(), before, "a replay changed something");
    check(&app, &story).await;
    happened(&app, &story)
}

async fn check(app: &TestApp, story: &Story) {
    let entries = entries(&app.database.session());
    let (counts, balances) = reckon(&entries, story.answered.iter().map(|(movement, _)| movement));
    let mut asked: BTreeMap<&str, Vec<&(Movement, Reply)>> = BTreeMap::new();
    for answered in &story.answered {
        asked.entry(&answered.0.mark).or_default().push(answered);
    }
    for (mark, answered) in asked {
        let (movement, reply) = answered[0];
        happens_once(&answered);
        let done = movement.is_done(reply);
        let count = counts.get(mark).copied().unwrap_or_default();
        match movement.wish {
            Wish::Pay(..) | Wish::Charge(_) | Wish::RollBack(..) => {
                assert_eq!(count, usize::from(done), "{movement:?} {reply:?}");
            }
            Wish::Correct(amount) => {
                let due = done && amount != Decimal::ZERO;
                assert_eq!(count, usize::from(due), "{movement:?} {reply:?}");
            }
            Wish::Set(balance) if done => balance_was(&entries, movement, balance),
            Wish::Set(_) | Wish::Edit(_) | Wish::Delete => {
                assert_eq!(count, 0, "{movement:?} {reply:?}");
            }
        }
        if done {
            tells_the_balance(&entries, movement, reply);
        }
    }
    only_one_of_its_kind(story);
    for &account in &story.accounts {
        let reply = app.get(&format!("/accounts/{account}")).await;
        if reply.status == 200 {
            let balance = balances.get(&account).copied().unwrap_or_default();
            assert_eq!(reply.attribute("balance"), balance.to_string(), "account {account}");
        }
    }
}

/// All answers to one key are one answer; all but one say that they are.
fn happens_once(answered: &[&(Movement, Reply)]) {
    let (movement, first) = answered[0];
    let mut fresh = 0;
    for (_, reply) in answered {
        assert_eq!((reply.status, &reply.body), (first.status, &first.body), "{movement:?}");
        for name in ["content-type", "location", "etag"] {
            assert_eq!(reply.header(name), first.header(name), "{name} of {movement:?}");
        }
        fresh += usize::from(reply.header("idempotent-replayed") != "true");
    }
    assert_eq!(fresh, 1, "{answered:?}");
}

/// A balance that was set was there: the entry says so, or there was nothing to do.
fn balance_was(entries: &[StoredEntry], movement: &Movement, balance: Decimal) {
    let made = |entry: &&StoredEntry| entry.request_id.as_ref() == Some(&movement.mark);
    if let Some(last) = entries.iter().rfind(made) {
        assert_eq!(last.balance_after, balance, "{movement:?}");
        return;
    }
    let mut of_account = entries.iter().filter(|entry| entry.account == movement.account);
    let was = balance == Decimal::ZERO || of_account.any(|entry| entry.balance_after == balance);
    assert!(was, "{movement:?}");
}

/// Answers tell the balance that the journal has at that place.
fn tells_the_balance(entries: &[StoredEntry], movement: &Movement, reply: &Reply) {
    let entry = entries.iter().find(|entry| entry.request_id.as_ref() == Some(&movement.mark));
    let due = match (&movement.wish, entry) {
        (Wish::Pay(amount, _), Some(entry)) => {
            ("balance-before-payment", entry.balance_after.checked_sub(*amount).unwrap())
        }
        (Wish::Correct(_), Some(entry)) => ("balance", entry.balance_after),
        (Wish::Set(balance), _) => ("balance", *balance),
        _ => return,
    };
    assert_eq!(reply.attribute(due.0), due.1.to_string(), "{movement:?}");
}

/// Of payments with one external id, and of rollbacks of one payment, one is done if any was
/// refused for another's sake, and never two are.
fn only_one_of_its_kind(story: &Story) {
    let mut done: HashMap<_, BTreeSet<&str>> = HashMap::new();
    let mut refused = BTreeSet::new();
    for (movement, reply) in &story.answered {
        let (kind, refusal) = match &movement.wish {
            Wish::Pay(_, Some(id)) => ((movement.account, id.as_str()), TAKEN),
            Wish::RollBack(payment, _) => ((0, payment.as_str()), NOT_COMPLETED),
            _ => continue,
        };
        let done = done.entry(kind).or_default();
        if movement.is_done(reply) {
            done.insert(&movement.mark);
        } else if reply.body.contains(refusal) {
            refused.insert(kind);
        }
    }
    for (kind, done) in done {
        let least = usize::from(refused.contains(&kind));
        assert!((least..=1).contains(&done.len()), "{kind:?}: {done:?}");
    }
}

fn happened(app: &TestApp, story: &Story) -> BTreeSet<&'static str> {
    let mut words = BTreeSet::new();
    for (movement, reply) in &story.answered {
        let refusals = [TAKEN, NOT_COMPLETED, OUT_OF_RANGE, "must be other than 0"];
        words.extend(refusals.into_iter().filter(|refusal| reply.body.contains(refusal)));
        let kept_refusal = movement.is_keyed && reply.body.contains(OUT_OF_RANGE);
        words.extend(kept_refusal.then_some("out of range, as kept"));
        words.extend((reply.status == 404).then_some("not found"));
        words.extend((reply.status == 204).then_some("deleted"));
        if let (Wish::RollBack(..), true) = (&movement.wish, movement.is_done(reply)) {
            words.insert("rolled back");
        }
    }
    words.extend((app.stored::<i64>("SELECT count(*) FROM events") > 0).then_some("crossed"));
    let over_zero = "SELECT count(*) - count(DISTINCT request_id) FROM journal_entries";
    words.extend((app.stored::<i64>(over_zero) > 0).then_some("set in two steps"));
    words
}

#[test]
fn the_ledger_keeps_its_laws_in_every_interleaving() {
    let runtime = Runtime::new().unwrap();
    let config = Config { failure_persistence: None, max_shrink_iters: 100, ..Config::default() };
    let mut runner = if std::env::var_os("PROPTEST_CASES").is_some() {
        TestRunner::new(config)
    } else {
        let always_the_same = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        TestRunner::new_with_rng(Config { cases: 60, ..config }, always_the_same)
    };
    let words = RefCell::new(BTreeSet::new());
    let outcome = runner.run(&program(), |program| {
        words.borrow_mut().extend(runtime.block_on(run(&program)));
        Ok(())
    });
    outcome.unwrap();
    let words = words.into_inner();
    assert_eq!(words.len(), 10, "some of what should be tried never happened: {words:?}");
}
