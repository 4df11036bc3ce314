//! A mail server for a test: speaks as much of SMTP as delivering needs, refuses as told, keeps what it took.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

/// An e-mail with its envelope.
#[derive(Clone, Debug, Default)]
pub(crate) struct Received {
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) text: String,
}

#[derive(Clone, Default)]
struct Mailbox {
    /// What to answer to the next e-mails in place of taking them.
    refusals: Arc<Mutex<VecDeque<&'static str>>>,
    /// Every e-mail that was offered whole, and whether it was taken.
    offered: Arc<Mutex<Vec<(Received, bool)>>>,
}

pub(crate) struct SmtpServer {
    pub(crate) address: SocketAddr,
    mailbox: Mailbox,
}

impl SmtpServer {
    /// Serves until the runtime of the test ends.
    pub(crate) async fn start(refusals: &[&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mailbox = Mailbox::default();
        mailbox.refusals.lock().unwrap().extend(refusals);
        let served = mailbox.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mailbox = served.clone();
                // A client that hangs up in the middle has delivered nothing.
                tokio::spawn(async move { mailbox.talk(stream).await });
            }
        });
        Self { address, mailbox }
    }

    /// Every e-mail that was offered, and whether it was taken.
    pub(crate) fn offered(&self) -> Vec<(Received, bool)> {
        self.mailbox.offered.lock().unwrap().clone()
    }

    /// The e-mails that were taken.
    pub(crate) fn taken(&self) -> Vec<Received> {
        self.offered().into_iter().filter_map(|(email, taken)| taken.then_some(email)).collect()
    }
}

impl Mailbox {
    async fn talk(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        stream.write_all(b"220 test ESMTP\r\n").await?;
        let mut email = Received::default();
        let mut line = String::new();
        while stream.read_line(&mut line).await? > 0 {
            let command = std::mem::take(&mut line).trim_end().to_owned();
            let verb = command.split(' ').next().unwrap_or_default().to_ascii_uppercase();
            let address = || command.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
            let reply = match verb.as_str() {
                "EHLO" => "250-test\r\n250 8BITMIME",
                "MAIL" => {
                    email = Received { from: address(), ..Received::default() };
                    "250 ok"
                }
                "RCPT" => {
                    email.to.push(address());
                    "250 ok"
                }
                "DATA" => {
                    stream.write_all(b"354 go on\r\n").await?;
                    email.text = data(&mut stream).await?;
                    self.judge(email.clone())
                }
                "NOOP" | "RSET" => "250 ok",
                "QUIT" => return stream.write_all(b"221 bye\r\n").await,
                _ => "502 not known",
            };
            stream.write_all(format!("{reply}\r\n").as_bytes()).await?;
        }
        Ok(())
    }

    fn judge(&self, email: Received) -> &'static str {
        let refusal = self.refusals.lock().unwrap().pop_front();
        self.offered.lock().unwrap().push((email, refusal.is_none()));
        refusal.unwrap_or("250 taken")
    }
}

/// The text up to the line with a single dot; dots that were doubled on the way are single again.
async fn data(stream: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    let mut text = String::new();
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 && line != ".\r\n" {
        text.push_str(line.strip_prefix('.').unwrap_or(&line));
        line.clear();
    }
    Ok(text)
}
