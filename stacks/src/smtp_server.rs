//! A mail server for tests: speaks as much of SMTP as delivering needs, behaves as badly as it is told to, and
//! keeps what it took before it says so.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::watch,
};

use crate::local::ports;

/// An e-mail with its envelope.
#[derive(Clone, Debug)]
pub struct Received {
    /// The sender of the envelope.
    pub from: String,
    /// The recipients of the envelope.
    pub to: Vec<String>,
    /// Headers and body, as they came.
    pub text: String,
    /// When the last byte was there.
    pub at: Instant,
}

/// What the server does with an e-mail that is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Takes it.
    Take,
    /// Takes it, and waits this long before each of its answers.
    Slow(Duration),
    /// Answers this to the content, and does not take it.
    Refuse(&'static str),
    /// Takes it, and hangs up instead of answering.
    Hide,
    /// Does not take it, and hangs up instead of answering.
    Lose,
    /// Says nothing any more, until it is told to do something else.
    Stall,
    /// Does not listen, and hangs up on who is there.
    Down,
}

/// The server; cheap to clone. It serves until the runtime ends.
#[derive(Clone)]
pub struct SmtpServer {
    /// Where it listens.
    pub address: SocketAddr,
    manner: watch::Sender<(Manner, usize)>,
    mailbox: Arc<Mutex<Mailbox>>,
}

#[derive(Default)]
struct Mailbox {
    /// What to answer to the next e-mails in place of taking them.
    refusals: VecDeque<&'static str>,
    /// Every e-mail that was offered whole, and whether it was taken.
    offered: Vec<(Received, bool)>,
    /// What was presented to log in, as it was sent.
    logins: Vec<String>,
    /// The verb of every command, in upper case.
    commands: Vec<String>,
}

impl SmtpServer {
    /// Serves on a free port.
    pub async fn start() -> Result<Self> {
        let address = ports::free()?;
        let listener = TcpListener::bind(address).await.context("the mail server can't listen")?;
        let manner = watch::Sender::new((Manner::Take, 1));
        let server = Self { address, manner, mailbox: Arc::default() };
        tokio::spawn(server.clone().serve(listener));
        Ok(server)
    }

    /// `smtp://…`
    pub fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    /// From now on, every n-th e-mail is dealt with in this manner and the others are taken; what stalls, stalls no
    /// more. [`Manner::Stall`] and [`Manner::Down`] concern all of them.
    pub fn behave(&self, manner: Manner, every: usize) {
        self.manner.send_replace((manner, every.max(1)));
    }

    /// Gives these answers to the next e-mails in place of taking them.
    pub fn refuse_next(&self, answers: &[&'static str]) {
        self.mailbox().refusals.extend(answers);
    }

    /// Every e-mail that was offered whole, and whether it was taken.
    pub fn offered(&self) -> Vec<(Received, bool)> {
        self.mailbox().offered.clone()
    }

    /// What was presented to log in, as it was sent.
    pub fn logins(&self) -> Vec<String> {
        self.mailbox().logins.clone()
    }

    /// The verbs of all commands that were given, in upper case.
    pub fn commands(&self) -> Vec<String> {
        self.mailbox().commands.clone()
    }

    /// The e-mails that were taken, but for the first so many.
    pub fn taken_after(&self, known: usize) -> Vec<Received> {
        let mailbox = self.mailbox();
        let taken = mailbox.offered.iter().filter(|(_, taken)| *taken);
        taken.skip(known).map(|(email, _)| email.clone()).collect()
    }

    /// The e-mails that were taken.
    pub fn taken(&self) -> Vec<Received> {
        self.taken_after(0)
    }

    async fn serve(self, mut listener: TcpListener) {
        let mut manner = self.manner.subscribe();
        loop {
            tokio::select! {
                // A client that hangs up in the middle has delivered nothing.
                Ok((stream, _)) = listener.accept() => drop(tokio::spawn(self.clone().talk_while_up(stream))),
                Ok(()) = manner.changed() => {}
            }
            if manner.borrow().0 == Manner::Down {
                drop(listener);
                // Its sender is in `self`.
                let _ = manner.wait_for(|(manner, _)| *manner != Manner::Down).await;
                listener = match TcpListener::bind(self.address).await {
                    Ok(listener) => listener,
                    Err(_) => return,
                };
            }
        }
    }

    async fn talk_while_up(self, stream: TcpStream) {
        let mut manner = self.manner.subscribe();
        tokio::select! {
            _ = self.talk(BufReader::new(stream)) => {}
            _ = manner.wait_for(|(manner, _)| *manner == Manner::Down) => {}
        }
    }

    /// Takes a lone line feed for the end of a line, as careless servers do: what is smuggled behind one shows.
    async fn talk(&self, mut stream: BufReader<TcpStream>) -> io::Result<()> {
        self.answer(&mut stream, "220 test ESMTP").await?;
        let (mut from, mut to) = (String::new(), Vec::new());
        let mut line = String::new();
        while stream.read_line(&mut line).await? > 0 {
            let command = std::mem::take(&mut line).trim_end().to_owned();
            let verb = command.split(' ').next().unwrap_or_default().to_ascii_uppercase();
            self.mailbox().commands.push(verb.clone());
            let address = || command.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
            let reply = match verb.as_str() {
                "EHLO" => "250-test\r\n250-8BITMIME\r\n250 AUTH PLAIN",
                "AUTH" => {
                    self.mailbox().logins.push(command.clone());
                    "235 welcome"
                }
                "MAIL" => {
                    (from, to) = (address(), Vec::new());
                    "250 ok"
                }
                "RCPT" => {
                    to.push(address());
                    "250 ok"
                }
                "DATA" => {
                    self.answer(&mut stream, "354 go on").await?;
                    let Some(text) = data(&mut stream).await? else { return Ok(()) };
                    let (from, to) = (std::mem::take(&mut from), std::mem::take(&mut to));
                    match self.judge(Received { from, to, text, at: Instant::now() }) {
                        Some(reply) => reply,
                        None => return Ok(()),
                    }
                }
                "NOOP" | "RSET" => "250 ok",
                "QUIT" => return self.answer(&mut stream, "221 bye").await,
                _ => "502 not known",
            };
            self.answer(&mut stream, reply).await?;
        }
        Ok(())
    }

    async fn answer(&self, stream: &mut BufReader<TcpStream>, reply: &str) -> io::Result<()> {
        let mut manner = self.manner.subscribe();
        let now = manner.wait_for(|(manner, _)| *manner != Manner::Stall).await.map(|now| now.0);
        if let Ok(Manner::Slow(delay)) = now {
            tokio::time::sleep(delay).await;
        }
        stream.write_all(format!("{reply}\r\n").as_bytes()).await
    }

    /// Keeps an e-mail or not; what to answer, or nothing to hang up.
    fn judge(&self, email: Received) -> Option<&'static str> {
        let mut mailbox = self.mailbox();
        let (manner, every) = *self.manner.borrow();
        let manner = if mailbox.offered.len().is_multiple_of(every) { manner } else { Manner::Take };
        let (taken, reply) = match (mailbox.refusals.pop_front(), manner) {
            (Some(refusal), _) | (None, Manner::Refuse(refusal)) => (false, Some(refusal)),
            (None, Manner::Hide) => (true, None),
            (None, Manner::Lose) => (false, None),
            (None, Manner::Take | Manner::Slow(_) | Manner::Stall | Manner::Down) => {
                (true, Some("250 taken"))
            }
        };
        mailbox.offered.push((email, taken));
        reply
    }

    fn mailbox(&self) -> MutexGuard<'_, Mailbox> {
        // A panic can't leave a list of e-mails half done.
        self.mailbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The text up to the line with a single dot, however it ends, or nothing where that line never came. Dots that were doubled on the
/// way are single again.
async fn data(stream: &mut BufReader<TcpStream>) -> io::Result<Option<String>> {
    let mut text = String::new();
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        if line.trim_end_matches(['\r', '\n']) == "." {
            return Ok(Some(text));
        }
        text.push_str(line.strip_prefix('.').unwrap_or(&line));
        line.clear();
    }
    Ok(None)
}
