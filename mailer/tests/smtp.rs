//! The client of SMTP with servers that reply out of the ordinary.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lettre::Message;
use lettre::message::header::ContentType;
use mailer::transport::{NotMarked, Smtp, SmtpError};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// A server: `reply` gives the reply to a verb from the number of the session, 0 the first, and the number of e-mails
/// that this session has taken; an empty text is no reply, and `None` closes the session.
struct Scripted {
    address: SocketAddr,
    /// The verbs of all sessions.
    verbs: Arc<Mutex<Vec<String>>>,
}

type Reply = fn(session: usize, taken: usize, verb: &str) -> Option<&'static str>;

/// The replies of a server that takes every e-mail.
fn usual(verb: &str) -> Option<&'static str> {
    Some(match verb {
        "GREETING" => "220 test",
        "DATA" => "354 go on",
        _ => "250 ok",
    })
}

impl Scripted {
    async fn start(reply: Reply) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let verbs = Arc::<Mutex<Vec<String>>>::default();
        let seen = verbs.clone();
        actix_rt::spawn(async move {
            for session in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let seen = seen.clone();
                actix_rt::spawn(async move { talk(stream, session, reply, &seen).await });
            }
        });
        Self { address, verbs }
    }

    fn client(&self) -> Smtp {
        Smtp::new(&format!("smtp://{}", self.address)).unwrap()
    }

    fn count(&self, verb: &str) -> usize {
        self.verbs.lock().unwrap().iter().filter(|seen| *seen == verb).count()
    }
}

async fn talk(stream: TcpStream, session: usize, reply: Reply, seen: &Mutex<Vec<String>>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let mut taken = 0;
    let mut verb = "GREETING".to_owned();
    loop {
        let text = reply(session, taken, &verb)?;
        if !text.is_empty() {
            stream.write_all(format!("{text}\r\n").as_bytes()).await.ok()?;
        }
        taken += usize::from(verb == ".");
        let in_content = text.starts_with("354");
        let mut line = String::new();
        while in_content && line.trim_end() != "." {
            line.clear();
            (stream.read_line(&mut line).await.ok()? > 0).then_some(())?;
        }
        if !in_content {
            (stream.read_line(&mut line).await.ok()? > 0).then_some(())?;
        }
        verb = line.split_whitespace().next().unwrap_or_default().to_owned();
        seen.lock().unwrap().push(verb.clone());
    }
}

async fn send(client: &Smtp) -> Result<(), SmtpError> {
    let email = Message::builder()
        .from("shop@example.org".parse().unwrap())
        .to("ada@example.org".parse().unwrap())
        .header(ContentType::TEXT_PLAIN)
        .body("Thank you.".to_owned())
        .unwrap();
    client.send(&email, async { Ok::<(), NotMarked>(()) }).await
}

/// The error of an e-mail whose server gives this reply to `verb`.
async fn refusal(reply: Reply) -> SmtpError {
    send(&Scripted::start(reply).await.client()).await.unwrap_err()
}

#[actix_rt::test]
async fn a_server_without_ehlo_is_greeted_by_helo() {
    let server =
        Scripted::start(|_, _, verb| if verb == "EHLO" { Some("502 unknown") } else { usual(verb) }).await;
    send(&server.client()).await.unwrap();
    assert_eq!((server.count("EHLO"), server.count("HELO"), server.count(".")), (1, 1, 1));
}

#[actix_rt::test]
async fn a_refusal_of_session_or_sender_is_deferred() {
    let refusals: [Reply; 5] = [
        |_, _, verb| if verb == "MAIL" { Some("530 authentication required") } else { usual(verb) },
        |_, _, verb| if verb == "MAIL" { Some("550 5.7.1 sender rejected") } else { usual(verb) },
        |_, _, verb| if verb == "RCPT" { Some("550 5.7.1 relaying denied") } else { usual(verb) },
        |_, _, verb| if verb == "RCPT" { Some("503 AUTH first") } else { usual(verb) },
        |_, _, verb| if verb == "." { Some("535 5.7.8 credentials expired") } else { usual(verb) },
    ];
    for reply in refusals {
        let error = refusal(reply).await;
        assert!(matches!(error, SmtpError::Deferred(_)), "{error}");
    }
}

#[actix_rt::test]
async fn a_refusal_of_the_email_is_final() {
    let refusals: [Reply; 4] = [
        |_, _, verb| if verb == "RCPT" { Some("550 5.1.1 no such user") } else { usual(verb) },
        |_, _, verb| if verb == "DATA" { Some("554 no valid recipients") } else { usual(verb) },
        |_, _, verb| if verb == "." { Some("554 5.7.1 spam") } else { usual(verb) },
        |_, _, verb| if verb == "." { Some("552 too large") } else { usual(verb) },
    ];
    for reply in refusals {
        let error = refusal(reply).await;
        assert!(matches!(error, SmtpError::Refused(_)), "{error}");
    }
}

#[actix_rt::test]
async fn a_session_closed_by_421_is_replaced() {
    let server = Scripted::start(|_, taken, verb| match verb {
        "MAIL" if taken == 1 => Some("421 too many e-mails"),
        _ => usual(verb),
    })
    .await;
    let client = server.client();
    for _ in 0..3 {
        send(&client).await.unwrap();
    }
    assert_eq!((server.count("EHLO"), server.count(".")), (3, 3));
}

#[actix_rt::test]
async fn a_session_that_says_421_and_hangs_holds_up_no_email() {
    let server = Scripted::start(|_, taken, verb| match verb {
        "MAIL" if taken == 1 => Some("421 too many e-mails"),
        "QUIT" => Some(""),
        _ => usual(verb),
    })
    .await;
    let client = server.client();
    send(&client).await.unwrap();
    let second = tokio::time::timeout(Duration::from_secs(5), send(&client)).await;
    assert!(second.is_ok_and(|sent| sent.is_ok()), "it waits for the reply to QUIT");
}

#[actix_rt::test]
async fn one_email_a_connection_is_enough() {
    let server = Scripted::start(|_, taken, verb| if taken == 1 { None } else { usual(verb) }).await;
    let client = server.client();
    for _ in 0..3 {
        send(&client).await.unwrap();
    }
    assert_eq!((server.count("EHLO"), server.count(".")), (3, 3));
}

#[actix_rt::test]
async fn a_new_session_closed_by_421_is_deferred() {
    let error = refusal(|_, _, verb| if verb == "MAIL" { Some("421 busy") } else { usual(verb) }).await;
    assert!(matches!(error, SmtpError::Deferred(_)), "{error}");
}

#[test]
fn a_password_is_sent_over_tls_or_loopback_only() {
    let refused = ["smtp://ada:secret@mail.example.org", "smtp://ada:secret@192.0.2.1:25?tls=opportunistic"];
    for url in refused {
        let reason = Smtp::new(url).err().unwrap();
        assert!(reason.contains("tls=required") && !reason.contains("secret"), "{reason}");
    }
    let taken = [
        "smtp://ada:secret@mail.example.org?tls=required",
        "smtps://ada:secret@mail.example.org",
        "smtp://ada:secret@localhost:1025",
        "smtp://ada:secret@127.0.0.1:1025",
        "smtp://ada:secret@[::1]:1025",
        "smtp://mail.example.org",
    ];
    for url in taken {
        assert!(Smtp::new(url).is_ok(), "{url}");
    }
}
