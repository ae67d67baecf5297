//! Claims that cross: grants that arrive after the name was given up, and claims that wait for each other.

use super::*;

#[test]
fn a_grant_that_was_given_up_before_it_arrived_is_refused() {
    for (asked, granted, expected) in [(7, 7, "refused"), (7, 6, "refused"), (7, 8, "ok")] {
        for is_revoked in [false, true] {
            let (mut tables, joining) = (Tables::new(), client(1));
            claim(&mut tables.state, &joining, 1);
            match is_revoked {
                true => tables.state.revoke(&topic("peer:a"), asked),
                false => assert_eq!(
                    tables.state.give_up(&topic("peer:a"), asked, Some([1; 32])).now_or_never(),
                    Some(true),
                    "it has no owner yet"
                ),
            }
            let answer = tables.adapter.requests().claims.pop_front().unwrap();
            answer.send(Claimed::Granted(granted)).unwrap();
            tables.settle();
            assert_eq!(received(&joining), [expected]);
            // the entry is the other node's, or about to be
            assert!(tables.adapter.requests().released.is_empty());
            // what was given up then does not count for the next claim
            tables.state.connection_closed(joining.id);
            let next = client(2);
            claim(&mut tables.state, &next, 1);
            let answer = tables.adapter.requests().claims.pop_front().unwrap();
            answer.send(Claimed::Granted(1)).unwrap();
            tables.settle();
            assert_eq!(received(&next), ["ok"]);
        }
    }
}

/// The registry may learn of a grant after another node has found it in the directory.
#[test]
fn a_grant_that_has_not_arrived_is_not_given_up_for_another_secret() {
    let rival = |tables: &mut Tables| tables.state.give_up(&topic("peer:a"), 7, Some([2; 32]));
    for claimed in [Claimed::Granted(7), Claimed::Granted(8), Claimed::Taken] {
        let (mut tables, joining) = (Tables::new(), client(1));
        claim(&mut tables.state, &joining, 1);
        let mut rivals: Vec<_> = (0..5).map(|_| rival(&mut tables)).collect();
        let too_many = rivals.pop().unwrap();
        assert_eq!(too_many.now_or_never(), Some(false));
        assert!(rivals.iter_mut().all(|rival| rival.now_or_never().is_none()));
        tables.adapter.requests().claims.pop_front().unwrap().send(claimed).unwrap();
        tables.settle();
        if claimed == Claimed::Granted(7) {
            assert!(rivals.iter_mut().all(|rival| rival.now_or_never().is_none()), "the owner is pinged");
            joining.activity.mark();
            tables.state.check_contests(joining.now());
            tables.settle();
        }
        let is_free = claimed == Claimed::Taken;
        assert!(rivals.into_iter().all(|rival| rival.now_or_never() == Some(is_free)), "{claimed:?}");
        assert_eq!(received(&joining).contains(&"ok".to_owned()), !is_free);
    }
}

#[test]
fn an_owner_keeps_a_name_that_is_given_up_or_revoked_with_an_older_epoch() {
    let (mut tables, owner) = (Tables::new(), client(1));
    claim(&mut tables.state, &owner, 1);
    tables.adapter.requests().claims.pop_front().unwrap().send(Claimed::Granted(5)).unwrap();
    tables.settle();
    tables.state.revoke(&topic("peer:a"), 4);
    assert_eq!(tables.state.give_up(&topic("peer:a"), 4, Some([1; 32])).now_or_never(), Some(false));
    assert_eq!(received(&owner), ["ok"]);
    tables.state.revoke(&topic("peer:a"), 5);
    assert_eq!(received(&owner), ["evicted"]);
    // the new owner's node reports that the name is up: it was never down
    assert_eq!(tables.adapter.requests().published, [Packet::Up(5)]);
    assert_eq!(tables.state.stats(), RegistryStats::default());
}

/// The adapter releases a stale grant, so none may count as stale that a client has or is about to get.
#[test]
fn a_grant_is_stale_while_nobody_owns_or_claims_the_name() {
    let (mut tables, client) = (Tables::new(), client(1));
    let grants = vec![(topic("peer:a"), 5)];
    assert_eq!(tables.state.stale(grants.clone()), grants);
    claim(&mut tables.state, &client, 1);
    assert_eq!(tables.state.stale(grants.clone()), []);
    tables.adapter.requests().claims.pop_front().unwrap().send(Claimed::Granted(5)).unwrap();
    tables.settle();
    assert_eq!((received(&client), tables.state.stale(grants.clone())), (vec!["ok".to_owned()], vec![]));
    tables.state.connection_closed(client.id);
    assert_eq!(tables.state.stale(grants.clone()), grants);
}

/// The second one of two clients of a node has another secret, and the first one is alive.
#[test]
fn a_claim_that_waits_for_another_of_its_node_does_not_take_the_name_over() {
    let (mut tables, first, second) = (Tables::new(), client(1), client(2));
    claim(&mut tables.state, &first, 1);
    claim(&mut tables.state, &second, 2);
    tables.adapter.requests().claims.pop_front().unwrap().send(Claimed::Granted(1)).unwrap();
    tables.settle();
    assert_eq!(received(&first)[0], "ok");
    first.activity.mark();
    tables.state.check_contests(first.now());
    assert_eq!((received(&first), received(&second)), (vec![], vec!["refused".to_owned()]));
    assert!(tables.adapter.requests().claims.is_empty(), "this node decides, since it has the owner");
}

#[test]
fn claims_of_one_name_ask_the_directory_one_after_the_other() {
    let (mut tables, [first, gone, last]) = (Tables::new(), [1, 2, 3].map(client));
    for (client, proof) in [(&first, 1), (&gone, 2), (&last, 3)] {
        claim(&mut tables.state, client, proof);
    }
    tables.state.connection_closed(gone.id);
    let mut answers = std::mem::take(&mut tables.adapter.requests().claims);
    assert_eq!(answers.len(), 1);
    answers.pop_front().unwrap().send(Claimed::Taken).unwrap();
    tables.settle();
    assert_eq!((received(&first), received(&last)), (vec!["refused".to_owned()], vec![]));
    // another secret may fit
    tables.adapter.requests().claims.pop_front().unwrap().send(Claimed::Granted(1)).unwrap();
    tables.settle();
    assert_eq!((received(&gone), received(&last)), (vec![], vec!["ok".to_owned()]));
    assert!(tables.adapter.requests().claims.is_empty());
}

/// The directory would answer the same, or not at all.
#[test]
fn claims_that_wait_are_refused_with_the_one_before_them() {
    for (claimed, others) in [(Claimed::Taken, 1), (Claimed::Unreachable, 3)] {
        let (mut tables, clients) = (Tables::new(), [1, 2, 3, 4].map(client));
        for (client, proof) in clients.iter().zip([1, 1, 2, 2]) {
            claim(&mut tables.state, client, proof);
        }
        tables.adapter.requests().claims.pop_front().unwrap().send(claimed).unwrap();
        tables.settle();
        let refused = clients.iter().filter(|client| received(client) == ["refused"]).count();
        assert_eq!((refused, tables.adapter.requests().claims.len()), (1 + others, usize::from(others == 1)));
    }
}

#[test]
fn the_number_of_claims_that_wait_for_a_name_is_limited() {
    let (mut tables, clients) = (Tables::new(), (1..=70).map(client).collect::<Vec<_>>());
    clients[..66].iter().for_each(|client| claim(&mut tables.state, client, 1));
    let refused = |clients: &[Arc<Connection>]| clients.iter().filter(|client| !received(client).is_empty()).count();
    assert_eq!(refused(&clients), 1, "one is under way, and 64 wait");
    // those that have gone leave room
    clients[1..5].iter().for_each(|gone| tables.state.connection_closed(gone.id));
    clients[66..].iter().for_each(|client| claim(&mut tables.state, client, 1));
    assert_eq!(refused(&clients), 0);
}

#[test]
fn the_next_claim_gets_the_grant_of_a_client_that_is_gone() {
    let (mut tables, gone, next) = (Tables::new(), client(1), client(2));
    claim(&mut tables.state, &gone, 1);
    claim(&mut tables.state, &next, 1);
    tables.state.connection_closed(gone.id);
    tables.adapter.requests().claims.pop_front().unwrap().send(Claimed::Granted(3)).unwrap();
    tables.settle();
    assert_eq!(received(&next), ["ok"]);
    let requests = tables.adapter.requests();
    assert!(requests.claims.is_empty() && requests.released.is_empty(), "the name has an entry throughout");
}

#[test]
fn a_grant_for_a_client_that_is_gone_is_returned_and_reported() {
    let (mut tables, gone) = (Tables::new(), client(1));
    claim(&mut tables.state, &gone, 1);
    tables.state.connection_closed(gone.id);
    tables.adapter.requests().claims.pop_front().unwrap().send(Claimed::Granted(3)).unwrap();
    tables.settle();
    let requests = tables.adapter.requests();
    assert_eq!((&requests.released[..], &requests.published[..]), (&[3][..], &[Packet::Down(3)][..]));
    drop(requests);
    assert_eq!(tables.state.stats(), RegistryStats::default());
}
