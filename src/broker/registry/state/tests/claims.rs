//! Claims that cross: grants that arrive after the name was given up, and claims that wait for each other.

use super::*;

#[test]
fn a_grant_that_was_given_up_before_it_arrived_is_claimed_again() {
    for (asked, granted, is_lost) in [(7, 7, true), (7, 6, true), (7, 8, false)] {
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
            tables.adapter.requests().claims.pop_front().unwrap().send(Claimed::Granted(granted)).unwrap();
            tables.settle();
            // another node has the name, so its entry stays
            assert!(tables.adapter.requests().released.is_empty());
            let again = tables.adapter.requests().claims.pop_front();
            assert_eq!(again.is_some(), is_lost);
            // what was given up then does not count for the next claim
            if let Some(answer) = again {
                assert_eq!(received(&joining), [""; 0]);
                answer.send(Claimed::Granted(1)).unwrap();
                tables.settle();
            }
            assert_eq!(received(&joining), ["ok"]);
        }
    }
}

#[test]
fn a_grant_without_a_secret_that_was_given_up_before_it_arrived_is_refused() {
    let (mut tables, joining) = (Tables::new(), client(1));
    let claim = NameClaim { proof: None, is_self_certifying: false };
    join(&mut tables.state, &joining, topic("peer:a"), Membership { claim: Some(claim), ..Membership::default() });
    tables.state.revoke(&topic("peer:a"), 7);
    tables.adapter.requests().claims.pop_front().unwrap().send(Claimed::Granted(7)).unwrap();
    tables.settle();
    assert_eq!(received(&joining), ["refused"]);
    assert!(tables.adapter.requests().released.is_empty() && tables.adapter.requests().claims.is_empty());
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
    first.mark_active();
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
