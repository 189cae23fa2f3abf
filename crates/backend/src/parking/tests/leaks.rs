//! Ten thousand parks come and go, and nothing of them is left.

use super::*;

const MANY: usize = 10_000;

#[tokio::test(start_paused = true)]
async fn after_ten_thousand_parks_everything_is_where_it_was() {
    let bounds = Bounds {
        parks: MANY,
        parks_per_principal: MANY / 10,
        ..Bounds::default()
    };
    let fixture = Fixture::bounded(bounds, 64);
    let clients: Vec<Caller> = (0..11).map(|at| client(&format!("c{at}"))).collect();
    let mut parked = Vec::with_capacity(MANY);
    for at in 0..MANY {
        let caller = &clients[at % 10];
        let (peer, asked, answer) = fixture.parked(caller).await;
        parked.push((caller, peer, asked, answer));
    }
    assert_eq!(fixture.parking.0.tasks.len(), MANY);
    assert_eq!(fixture.admission.in_use(), 0, "parks are in nobody's way");
    // The caps hold, for one who has his share and for one who has nothing yet.
    for caller in [&clients[0], &clients[10]] {
        let (peer, reply) = fixture.call(caller).await;
        let _answer = peer.elicit().await;
        assert!(matches!(
            kind(reply.outcome().await),
            ErrorKind::Overloaded { .. }
        ));
    }
    // They end in every way there is.
    for (at, (caller, peer, asked, answer)) in parked.into_iter().enumerate() {
        match at % 5 {
            0 => {
                let reply = fixture
                    .resume(caller, &asked, &json!({"q1": yes()}))
                    .await
                    .unwrap();
                peer.finish("done").await;
                assert_eq!(text(reply.outcome().await), "done");
            }
            1 => {
                let reply = fixture
                    .resume(caller, &asked, &json!({"q1": yes()}))
                    .await
                    .unwrap();
                drop(reply);
            }
            2 => {
                drop(answer);
                peer.finish("done").await;
            }
            3 => drop((peer, answer)),
            // Nobody comes back.
            _ => std::mem::forget((peer, answer)),
        }
    }
    tokio::time::sleep(LIFETIME + park::GRACE).await;
    settle().await;
    fixture.assert_nothing_is_left();
    // And the room is there again.
    for caller in &clients {
        fixture.parked(caller).await;
    }
    fixture.parking.close().await;
    fixture.assert_nothing_is_left();
}
