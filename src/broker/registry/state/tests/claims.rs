//! Claims that cross: grants that arrive after the name was given up, released, or granted again.

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
                    tables.state.give_up(&topic("peer:a"), asked, None).now_or_never(),
                    Some(true),
                    "it has no owner yet"
                ),
            }
            let answer = tables.adapter.requests().claims.pop_front().unwrap();
            answer.send(Claimed::Granted(granted)).unwrap();
            tables.settle();
            assert_eq!(received(&joining), [expected]);
            assert_eq!(tables.adapter.requests().released.is_empty(), expected == "ok");
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
fn a_claim_that_crosses_another_of_its_node_does_not_take_the_name_over() {
    let (mut tables, first, second) = (Tables::new(), client(1), client(2));
    claim(&mut tables.state, &first, 1);
    claim(&mut tables.state, &second, 2);
    for epoch in [1, 2] {
        tables.adapter.requests().claims.pop_front().unwrap().send(Claimed::Granted(epoch)).unwrap();
    }
    tables.settle();
    assert_eq!(received(&first)[0], "ok");
    first.mark_active();
    tables.state.check_contests(first.now());
    assert_eq!((received(&first), received(&second)), (vec![], vec!["refused".to_owned()]));
    tables.state.unsubscribe(MemberId { connection: first.id, join: JOIN });
    assert_eq!(tables.adapter.requests().released, [2], "the directory knows the second grant");
}

/// The second join has come and gone before the first one hears of its own, earlier grant.
#[test]
fn a_grant_that_the_directory_has_forgotten_is_claimed_again() {
    for second_leaves_late in [false, true] {
        let (mut tables, first, second) = (Tables::new(), client(1), client(2));
        claim(&mut tables.state, &first, 1);
        claim(&mut tables.state, &second, 1);
        let [earlier, later] = [(); 2].map(|()| tables.adapter.requests().claims.pop_front().unwrap());
        if !second_leaves_late {
            tables.state.connection_closed(second.id);
        }
        later.send(Claimed::Granted(2)).unwrap();
        tables.settle();
        tables.state.connection_closed(second.id);
        assert_eq!(tables.adapter.requests().released, [2]);
        earlier.send(Claimed::Granted(1)).unwrap();
        tables.settle();
        assert!(received(&first).is_empty());
        tables.adapter.requests().claims.pop_front().unwrap().send(Claimed::Granted(3)).unwrap();
        tables.settle();
        assert_eq!(received(&first), ["ok"]);
    }
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
