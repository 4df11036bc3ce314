//! Dead letters: their story, and when they are forgotten.

use super::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[actix_rt::test]
async fn dead_letters_are_forgotten_after_their_retention_alone() {
    for (inbox, database) in each().await {
        receive_new(&inbox, 4).await;
        let due = inbox.claim(3, LEASE).await.unwrap().items;
        inbox.record_outcome(&due[0], Outcome::Dead { error: "550".into() }).await.unwrap();
        inbox
            .record_outcome(&due[1], Outcome::Held { attempts: 1, error: "no answer".into() })
            .await
            .unwrap();
        inbox.record_outcome(&due[2], Outcome::Dead { error: "550".into() }).await.unwrap();
        assert_eq!(inbox.forget_dead_letters(DAY).await.unwrap(), 0, "none is a day old");

        let day = i64::try_from(DAY.as_millis()).unwrap();
        database.execute(&format!("UPDATE inbox SET queued_at = queued_at - {day}")).await;
        // Put back, it is as good as new.
        assert_eq!(inbox.replay(Some(due[2].event.id), &context()).await.unwrap(), 1);
        assert_eq!(inbox.forget_dead_letters(DAY).await.unwrap(), 2);
        assert!(inbox.dead_letters(10).await.unwrap().is_empty());
        assert_eq!(inbox.backlog().await.unwrap().pending, 2, "what is due stays");
    }
}

#[actix_rt::test]
async fn a_story_survives_a_replay() {
    for (inbox, _database) in each().await {
        receive_new(&inbox, 1).await;
        for error in ["550 one", "550 two"] {
            inbox.replay(None, &context()).await.unwrap();
            let due = inbox.claim(1, LEASE).await.unwrap().items;
            inbox.record_outcome(&due[0], Outcome::Dead { error: error.into() }).await.unwrap();
        }
        let event = inbox.dead_letters(1).await.unwrap()[0].event_id.clone().unwrap();
        let story = inbox.dead_letter(event.parse().unwrap()).await.unwrap().unwrap();
        let answers: Vec<_> = story.history.iter().map(|attempt| attempt.answer.as_str()).collect();
        assert_eq!(answers, ["550 one", "550 two"]);
        assert_eq!(story.replay_trace_id.as_deref(), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
        assert!(inbox.dead_letter(uuid::Uuid::nil()).await.unwrap().is_none());
    }
}
