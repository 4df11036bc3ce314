//! A mail server that follows a script: it can refuse, hide its answer, stall, and take its time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What the server does with an e-mail.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    /// Takes it after this time.
    Accept(Duration),
    /// Says this to the recipient.
    Recipient(&'static str),
    /// Takes it, and hangs up instead of answering.
    HangUp,
    /// Takes it, and never answers.
    Stall,
    /// Hangs up instead of greeting.
    NoGreeting,
    /// Never answers the recipient.
    StallAtRecipient,
}

/// The server; it takes e-mails for as long as the test lasts.
#[derive(Clone)]
pub(crate) struct SmtpServer {
    pub(crate) url: String,
    /// By recipient what to do next; the last answer stays. Whoever is not listed is accepted at once.
    script: Arc<Mutex<HashMap<String, Vec<Answer>>>>,
    taken: Arc<Mutex<Vec<String>>>,
}

impl SmtpServer {
    pub(crate) async fn start(script: &[(&str, &[Answer])]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("smtp://{}", listener.local_addr().unwrap());
        let script = script.iter().map(|(to, answers)| ((*to).to_owned(), answers.to_vec())).collect();
        let server = Self { url, script: Arc::new(Mutex::new(script)), taken: Arc::default() };
        let accepting = server.clone();
        actix::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = accepting.clone();
                // A client may hang up whenever it likes.
                actix::spawn(async move { drop(server.serve(stream).await) });
            }
        });
        server
    }

    /// The e-mails that were taken, whether the client heard of it or not.
    pub(crate) fn taken(&self) -> Vec<String> {
        self.taken.lock().unwrap().clone()
    }

    fn next(&self, recipient: &str) -> Answer {
        match self.script.lock().unwrap().get_mut(recipient) {
            Some(answers) if answers.len() > 1 => answers.remove(0),
            Some(answers) => answers[0],
            None => Answer::Accept(Duration::ZERO),
        }
    }

    async fn serve(self, stream: TcpStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        if self.script.lock().unwrap().contains_key("*") && matches!(self.next("*"), Answer::NoGreeting) {
            return Ok(());
        }
        stream.write_all(b"220 test\r\n").await?;
        let mut answer = Answer::Accept(Duration::ZERO);
        let mut line = String::new();
        while stream.read_line(&mut line).await? > 0 {
            let command = std::mem::take(&mut line);
            let reply = match command.get(..4).unwrap_or_default() {
                "RCPT" => {
                    answer = self.next(command.split(['<', '>']).nth(1).unwrap_or_default());
                    match answer {
                        Answer::Recipient(refusal) => refusal,
                        Answer::StallAtRecipient => return stall(stream).await,
                        _ => "250 ok",
                    }
                }
                "DATA" => {
                    stream.write_all(b"354 go on\r\n").await?;
                    let mut email = String::new();
                    while !email.ends_with("\r\n.\r\n") {
                        if stream.read_line(&mut email).await? == 0 {
                            return Ok(());
                        }
                    }
                    self.taken.lock().unwrap().push(email);
                    match answer {
                        Answer::HangUp => return Ok(()),
                        Answer::Stall => return stall(stream).await,
                        Answer::Accept(latency) => tokio::time::sleep(latency).await,
                        _ => {}
                    }
                    "250 taken"
                }
                _ => "250 ok",
            };
            stream.write_all(format!("{reply}\r\n").as_bytes()).await?;
        }
        Ok(())
    }
}

/// Reads what comes, and says nothing, until the client hangs up.
async fn stall(mut stream: BufReader<TcpStream>) -> std::io::Result<()> {
    let mut ignored = Vec::new();
    stream.read_to_end(&mut ignored).await.map(drop)
}
