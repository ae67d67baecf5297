//! The directory of names.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use futures_util::future::{join, join_all};
use handclasp::cluster::engine::{ClaimResult, Epoch, Holder};

use super::{AT_ONCE, Member, Site, pair, strange_texts};

/// How many parts a scan may have. It is a limit for scans that do not end.
const MAX_PARTS: usize = 100_000;

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("peer:{n:05}")).collect()
}

async fn holder(member: &Member, name: &str) -> Option<Holder> {
    member.engine.find(name).await.unwrap()
}

/// Who holds the name, by the directory.
async fn owner(member: &Member, name: &str) -> Option<(String, Epoch)> {
    holder(member, name).await.map(|holder| (holder.node.to_string(), holder.epoch))
}

async fn scan(member: &Member) -> BTreeMap<String, Holder> {
    let (mut found, mut cursor) = (BTreeMap::new(), 0);
    for _ in 0..MAX_PARTS {
        let part = member.engine.scan(cursor).await.unwrap();
        found.extend(part.entries);
        if part.next == 0 {
            return found;
        }
        cursor = part.next;
    }
    panic!("the scan does not end");
}

pub async fn a_name_is_claimed_held_replaced_released_removed_and_found(site: Rc<dyn Site>) {
    let (a, b) = pair(&*site).await;
    for name in strange_texts() {
        assert_eq!(holder(&a, &name).await, None, "{name:?}");
        let first = a.granted(&name).await;
        let entry = holder(&b, &name).await.unwrap();
        assert_eq!((entry.node.as_str(), entry.epoch), (&*a.id, first), "{name:?}");
        for member in [&a, &b] {
            assert_eq!(member.engine.claim(&name).await.unwrap(), ClaimResult::Held(entry.clone()), "{name:?}");
        }
        let second = b.engine.replace(&name, &entry).await.unwrap().unwrap();
        assert!(second > first, "{name:?}: {second} > {first}");
        assert_eq!(owner(&a, &name).await, Some((b.id.to_string(), second)));
        assert_eq!(a.engine.replace(&name, &entry).await.unwrap(), None, "the entry is another one: {name:?}");
        a.engine.remove(&name, &entry).await.unwrap();
        a.engine.release(&name, second).await.unwrap();
        assert_eq!(owner(&a, &name).await, Some((b.id.to_string(), second)), "it is not a's: {name:?}");
        b.engine.release(&name, second).await.unwrap();
        assert_eq!(owner(&a, &name).await, None);
        assert_eq!(b.engine.replace(&name, &entry).await.unwrap(), None, "there is no entry: {name:?}");
        a.granted(&name).await;
        let entry = holder(&b, &name).await.unwrap();
        b.engine.remove(&name, &entry).await.unwrap();
        assert_eq!(owner(&a, &name).await, None);
    }
}

pub async fn names_are_any_text_and_do_not_mix(site: Rc<dyn Site>) {
    let (a, b) = pair(&*site).await;
    let names = strange_texts();
    let epochs = a.granted_all(&names).await;
    for (name, epoch) in names.iter().zip(&epochs) {
        assert_eq!(owner(&b, name).await, Some((a.id.to_string(), *epoch)), "{name:?}");
    }
    let found = scan(&b).await;
    let expected: BTreeSet<&String> = names.iter().collect();
    assert_eq!(found.keys().collect::<BTreeSet<_>>(), expected);
    for (name, epoch) in names.iter().zip(&epochs) {
        assert_eq!(found[name].epoch, *epoch, "{name:?}");
        assert_eq!(b.engine.replace(name, &found[name]).await.unwrap().map(|new| new > *epoch), Some(true));
    }
}

pub async fn epochs_grow_with_each_grant(site: Rc<dyn Site>) {
    let (a, b) = pair(&*site).await;
    let mut last = 0;
    for turn in 0..50 {
        let (one, other) = if turn % 2 == 0 { (&a, &b) } else { (&b, &a) };
        let granted = one.granted("peer:x").await;
        assert!(granted > last, "{granted} > {last}");
        let entry = holder(other, "peer:x").await.unwrap();
        let replaced = other.engine.replace("peer:x", &entry).await.unwrap().unwrap();
        assert!(replaced > granted, "{replaced} > {granted}");
        last = replaced;
        if turn % 3 == 0 {
            let entry = holder(one, "peer:x").await.unwrap();
            one.engine.remove("peer:x", &entry).await.unwrap();
        } else {
            other.engine.release("peer:x", replaced).await.unwrap();
        }
    }
}

pub async fn one_of_two_racers_is_granted_a_name(site: Rc<dyn Site>) {
    let (a, b) = pair(&*site).await;
    let mut wins = [0, 0];
    for names in numbered(10_000).chunks(AT_ONCE) {
        let claims = names.iter().map(|name| join(a.engine.claim(name), b.engine.claim(name)));
        let results = join_all(claims).await;
        let holders = join_all(names.iter().map(|name| a.engine.find(name))).await;
        for ((name, result), holder) in names.iter().zip(results).zip(holders) {
            let holder = holder.unwrap().unwrap();
            let (winner, epoch) = match (result.0.unwrap(), result.1.unwrap()) {
                (ClaimResult::Granted(epoch), ClaimResult::Held(seen)) if seen == holder => (0, epoch),
                (ClaimResult::Held(seen), ClaimResult::Granted(epoch)) if seen == holder => (1, epoch),
                results => panic!("{name}: {results:?}, and the entry is {holder:?}"),
            };
            assert_eq!((&*holder.node, holder.epoch), (&*[&a, &b][winner].id, epoch), "{name}");
            wins[winner] += 1;
        }
    }
    println!("granted: {wins:?}");
}

pub async fn one_of_two_racers_replaces_an_entry(site: Rc<dyn Site>) {
    let (a, b) = pair(&*site).await;
    a.granted("peer:x").await;
    for _ in 0..500 {
        let entry = holder(&a, "peer:x").await.unwrap();
        let results = join(a.engine.replace("peer:x", &entry), b.engine.replace("peer:x", &entry)).await;
        let expected = match (results.0.unwrap(), results.1.unwrap()) {
            (Some(epoch), None) => (a.id.to_string(), epoch),
            (None, Some(epoch)) => (b.id.to_string(), epoch),
            results => panic!("{results:?}"),
        };
        assert_eq!(owner(&b, "peer:x").await, Some(expected));
    }
}

pub async fn a_release_of_an_old_epoch_has_no_effect(site: Rc<dyn Site>) {
    let (a, b) = pair(&*site).await;
    let first = a.granted("peer:x").await;
    let entry = holder(&a, "peer:x").await.unwrap();
    let second = a.engine.replace("peer:x", &entry).await.unwrap().unwrap();
    a.engine.release("peer:x", first).await.unwrap();
    assert_eq!(owner(&b, "peer:x").await, Some((a.id.to_string(), second)));
    a.engine.release("peer:x", second + 1).await.unwrap();
    assert_eq!(owner(&b, "peer:x").await, Some((a.id.to_string(), second)));
    // a release takes effect before a claim that is called after it
    let (released, claimed) = join(a.engine.release("peer:x", second), a.engine.claim("peer:x")).await;
    released.unwrap();
    let ClaimResult::Granted(third) = claimed.unwrap() else { panic!("the name is free") };
    assert!(third > second, "{third} > {second}");
    a.engine.release("peer:x", second).await.unwrap();
    assert_eq!(owner(&b, "peer:x").await, Some((a.id.to_string(), third)));
}

pub async fn asserted_names_are_entered_unless_an_entry_has_a_higher_epoch(site: Rc<dyn Site>) {
    let (a, b) = pair(&*site).await;
    for name in strange_texts() {
        let low = b.granted(&name).await;
        let former = holder(&a, &name).await.unwrap();
        let high = a.engine.replace(&name, &former).await.unwrap().unwrap();
        let mine = b.granted("mine").await;
        let entry = holder(&a, &name).await.unwrap();
        let entered = b.engine.enter(&[("mine", mine), (&name, low)]).await.unwrap();
        assert_eq!(entered, [(1, entry)], "a higher epoch stays: {name:?}");
        a.engine.release(&name, high).await.unwrap();
        assert_eq!(b.engine.enter(&[(&name, low)]).await.unwrap(), [], "it was absent: {name:?}");
        assert_eq!(owner(&a, &name).await, Some((b.id.to_string(), low)));
        let entry = holder(&a, &name).await.unwrap();
        let entered = a.engine.enter(&[(&name, high)]).await.unwrap();
        assert_eq!(entered, [(0, entry)], "a lower epoch gives way: {name:?}");
        assert_eq!(a.engine.enter(&[(&name, high)]).await.unwrap(), [], "it is a's already: {name:?}");
        assert_eq!(owner(&b, &name).await, Some((a.id.to_string(), high)));
        // of two nodes with one epoch, the same one has the name whichever comes first
        let (lesser, greater) = if a.id < b.id { (&a, &b) } else { (&b, &a) };
        let former = Some((0, holder(&a, &name).await.unwrap())).filter(|_| greater.id != a.id);
        assert_eq!(greater.engine.enter(&[(&name, high)]).await.unwrap(), Vec::from_iter(former), "{name:?}");
        let entry = holder(lesser, &name).await.unwrap();
        assert_eq!(lesser.engine.enter(&[(&name, high)]).await.unwrap(), [(0, entry)], "{name:?}");
        greater.engine.release(&name, high).await.unwrap();
        a.engine.enter(&[(&name, high)]).await.unwrap();
        assert_eq!(owner(&a, "mine").await, Some((b.id.to_string(), mine)));
        // an entered entry is like any other
        let former = holder(&b, &name).await.unwrap();
        let next = b.engine.replace(&name, &former).await.unwrap().unwrap();
        assert!(next > high, "{next} > {high}");
        b.engine.release(&name, next).await.unwrap();
        a.engine.enter(&[(&name, high)]).await.unwrap();
        a.engine.release(&name, high).await.unwrap();
        assert_eq!(owner(&b, &name).await, None);
        b.engine.release("mine", mine).await.unwrap();
    }
    assert_eq!(a.engine.enter(&[]).await.unwrap(), []);
}

pub async fn many_names_are_asserted_at_once(site: Rc<dyn Site>) {
    let (a, b) = pair(&*site).await;
    let names = numbered(1_000);
    let epochs = a.granted_all(&names).await;
    // of each four names: one is gone, one is b's, and two are as they were
    for (n, (name, epoch)) in names.iter().zip(&epochs).enumerate() {
        let entry = holder(&b, name).await.unwrap();
        match n % 4 {
            0 => a.engine.release(name, *epoch).await.unwrap(),
            1 => assert!(b.engine.replace(name, &entry).await.unwrap().is_some()),
            _ => {}
        }
    }
    let entered: Vec<(&str, Epoch)> = names.iter().map(String::as_str).zip(epochs).collect();
    let conflicts = a.engine.enter(&entered).await.unwrap();
    let places: Vec<usize> = conflicts.iter().map(|(place, _)| *place).collect();
    assert_eq!(places, (1..1_000).step_by(4).collect::<Vec<_>>());
    for (place, conflict) in conflicts {
        assert_eq!(Some(conflict), holder(&a, &names[place]).await);
    }
    for (n, (name, epoch)) in entered.iter().enumerate().filter(|(n, _)| n % 4 != 1) {
        assert_eq!(owner(&b, name).await, Some((a.id.to_string(), *epoch)), "{n}");
    }
}

pub async fn a_scan_finds_all_names_and_ends(site: Rc<dyn Site>) {
    let (a, b) = pair(&*site).await;
    assert_eq!(scan(&a).await, BTreeMap::new());
    let names = numbered(5_000);
    let (of_a, of_b) = names.split_at(2_000);
    let epochs: Vec<Epoch> = [a.granted_all(of_a).await, b.granted_all(of_b).await].concat();
    let found = scan(&a).await;
    assert_eq!(found.keys().collect::<Vec<_>>(), names.iter().collect::<Vec<_>>());
    for (n, (name, epoch)) in names.iter().zip(epochs).enumerate() {
        let node = if n < of_a.len() { &a.id } else { &b.id };
        assert_eq!((&found[name].node, found[name].epoch), (node, epoch), "{name}");
    }
    // what a scan returns can be removed
    let (name, entry) = found.first_key_value().unwrap();
    b.engine.remove(name, entry).await.unwrap();
    assert_eq!(holder(&a, name).await, None);
}

pub async fn a_scan_finds_the_names_that_stay_while_others_come_and_go(site: Rc<dyn Site>) {
    let (a, b) = pair(&*site).await;
    let names = numbered(1_000);
    let (stay, go) = names.split_at(500);
    a.granted_all(stay).await;
    let epochs = b.granted_all(go).await;
    let changes = async {
        for (n, (name, epoch)) in go.iter().zip(epochs).enumerate() {
            b.engine.release(name, epoch).await.unwrap();
            b.granted(&format!("new:{n}")).await;
        }
    };
    let (found, ()) = join(scan(&a), changes).await;
    let missing: Vec<_> = stay.iter().filter(|name| !found.contains_key(*name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
