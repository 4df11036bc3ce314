//! A fake mail server: it speaks the part of SMTP that a delivery needs, misbehaves on request, and records what it
//! accepted before it says so.

mod state;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub use self::state::{Behavior, Received, State};
use crate::port::Port;

/// The server; cheap to clone. It serves until the runtime ends.
#[derive(Clone)]
pub struct SmtpServer {
    port: Arc<Port>,
    state: watch::Sender<State>,
    mailbox: Arc<Mutex<Mailbox>>,
}

#[derive(Default)]
struct Mailbox {
    /// Connections to close in place of a greeting.
    closed_greetings: usize,
    /// By recipient, the behaviors towards the next e-mails; the last one stays.
    scripts: HashMap<String, VecDeque<Behavior>>,
    /// The behaviors towards the next e-mails without a script.
    next: VecDeque<Behavior>,
    /// Every recipient without a script.
    recipients: usize,
    /// Every sender.
    senders: usize,
    /// Every e-mail that arrived whole, and whether it was accepted.
    offered: Vec<(Received, bool)>,
    /// The arguments of every `AUTH`.
    logins: Vec<String>,
    /// The verb of every command, in upper case.
    commands: Vec<String>,
}

impl SmtpServer {
    /// Starts a server on a free port.
    ///
    /// # Errors
    /// If it cannot listen.
    pub async fn start() -> io::Result<Self> {
        let server = Self {
            port: Arc::new(Port::reserve()?),
            state: watch::Sender::new(State::Up(Behavior::Accept, 1)),
            mailbox: Arc::default(),
        };
        let listener = server.listen()?;
        tokio::spawn(server.clone().serve(listener));
        Ok(server)
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// `smtp://ADDRESS`.
    pub fn url(&self) -> String {
        format!("smtp://{}", self.address())
    }

    /// Changes the state; a stalled reply is given when the new state allows it.
    pub fn set(&self, state: State) {
        self.state.send_replace(state);
    }

    /// Sets the behaviors towards the next e-mails.
    pub fn script(&self, behaviors: &[Behavior]) {
        self.mailbox().next = behaviors.iter().copied().collect();
    }

    /// Sets the behaviors towards the next e-mails to this recipient; the last one stays.
    pub fn script_for(&self, recipient: &str, behaviors: &[Behavior]) {
        self.mailbox().scripts.insert(recipient.to_owned(), behaviors.iter().copied().collect());
    }

    /// Closes the next connection in place of the greeting.
    pub fn close_next_greeting(&self) {
        self.mailbox().closed_greetings += 1;
    }

    /// Every e-mail that arrived whole, and whether it was accepted.
    pub fn offered(&self) -> Vec<(Received, bool)> {
        self.mailbox().offered.clone()
    }

    /// The accepted e-mails, whether or not the client got the reply.
    pub fn accepted(&self) -> Vec<Received> {
        let mailbox = self.mailbox();
        let accepted = mailbox.offered.iter().filter(|(_, accepted)| *accepted);
        accepted.map(|(email, _)| email.clone()).collect()
    }

    /// The accepted e-mails since the last call. What the server has recorded is forgotten: a long run has no room for it.
    pub fn take_accepted(&self) -> Vec<Received> {
        let mut mailbox = self.mailbox();
        mailbox.commands.clear();
        mailbox.logins.clear();
        let offered = std::mem::take(&mut mailbox.offered);
        offered.into_iter().filter_map(|(email, accepted)| accepted.then_some(email)).collect()
    }

    /// Every `AUTH` command, as sent.
    pub fn logins(&self) -> Vec<String> {
        self.mailbox().logins.clone()
    }

    /// The verb of every command, in upper case.
    pub fn commands(&self) -> Vec<String> {
        self.mailbox().commands.clone()
    }

    fn listen(&self) -> io::Result<TcpListener> {
        let socket = self.port.listen()?;
        socket.set_nonblocking(true)?;
        TcpListener::from_std(socket.into())
    }

    async fn serve(self, mut listener: TcpListener) {
        let mut state = self.state.subscribe();
        loop {
            tokio::select! {
                Ok((stream, _)) = listener.accept() => drop(tokio::spawn(self.clone().talk_while_up(stream))),
                Ok(()) = state.changed() => {}
            }
            if *state.borrow() == State::Down {
                drop(listener);
                // The wait cannot fail: its sender is in `self`.
                let _ = state.wait_for(|state| *state != State::Down).await;
                listener = match self.listen() {
                    Ok(listener) => listener,
                    Err(_) => return,
                };
            }
        }
    }

    async fn talk_while_up(self, stream: TcpStream) {
        let mut state = self.state.subscribe();
        tokio::select! {
            // A client that disconnects early has delivered nothing.
            _ = self.talk(BufReader::new(stream)) => {}
            _ = state.wait_for(|state| *state == State::Down) => {}
        }
    }

    async fn talk(&self, mut stream: BufReader<TcpStream>) -> io::Result<()> {
        if self.closes_greeting() {
            return Ok(());
        }
        self.reply(&mut stream, "220 test ESMTP").await?;
        let (mut from, mut to, mut behavior) = (String::new(), Vec::new(), Behavior::Accept);
        let mut line = String::new();
        while stream.read_line(&mut line).await? > 0 {
            let command = std::mem::take(&mut line).trim_end().to_owned();
            let verb = command.split(' ').next().unwrap_or_default().to_ascii_uppercase();
            self.mailbox().commands.push(verb.clone());
            let address = || command.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
            let reply = match verb.as_str() {
                "EHLO" if self.is(State::HeloOnly) => "502 unknown command",
                "HELO" => "250 test",
                "EHLO" => "250-test\r\n250-8BITMIME\r\n250 AUTH PLAIN",
                "AUTH" => {
                    self.mailbox().logins.push(command.clone());
                    "235 welcome"
                }
                "MAIL" => {
                    (from, to) = (address(), Vec::new());
                    match self.answer_to_sender() {
                        Some(refusal) if refusal.starts_with("421") => {
                            return self.reply(&mut stream, refusal).await;
                        }
                        refusal => refusal.unwrap_or("250 ok"),
                    }
                }
                "RCPT" => {
                    to.push(address());
                    behavior = self.behavior_towards(&address());
                    match behavior {
                        Behavior::RefuseRecipient(refusal) => refusal,
                        Behavior::HangAtRecipient => return hang(stream).await,
                        _ => "250 ok",
                    }
                }
                "DATA" => {
                    self.reply(&mut stream, "354 go on").await?;
                    let Some(text) = content(&mut stream).await? else { return Ok(()) };
                    let (from, to) = (std::mem::take(&mut from), std::mem::take(&mut to));
                    let accepted = !matches!(behavior, Behavior::Refuse(_) | Behavior::DiscardAndClose);
                    self.mailbox().offered.push((Received { from, to, text, at: Instant::now() }, accepted));
                    match behavior {
                        Behavior::Refuse(refusal) => refusal,
                        Behavior::AcceptAndClose | Behavior::DiscardAndClose => return Ok(()),
                        Behavior::AcceptAndHang => return hang(stream).await,
                        Behavior::AcceptAfter(delay) => {
                            tokio::time::sleep(delay).await;
                            "250 accepted"
                        }
                        _ if self.is(State::OneEach) => {
                            return self.reply(&mut stream, "250 accepted").await;
                        }
                        _ => "250 accepted",
                    }
                }
                "NOOP" | "RSET" => "250 ok",
                "QUIT" => return self.reply(&mut stream, "221 bye").await,
                _ => "502 unknown command",
            };
            self.reply(&mut stream, reply).await?;
        }
        Ok(())
    }

    async fn reply(&self, stream: &mut BufReader<TcpStream>, reply: &str) -> io::Result<()> {
        let mut state = self.state.subscribe();
        let state = state.wait_for(|state| *state != State::Stalled).await.map(|state| *state);
        if let Ok(State::Slow(delay)) = state {
            tokio::time::sleep(delay).await;
        }
        stream.write_all(format!("{reply}\r\n").as_bytes()).await
    }

    fn is(&self, state: State) -> bool {
        *self.state.borrow() == state
    }

    fn answer_to_sender(&self) -> Option<&'static str> {
        let mut mailbox = self.mailbox();
        mailbox.senders += 1;
        match *self.state.borrow() {
            State::RefusesSenders(refusal) => Some(refusal),
            State::Closes(every) if mailbox.senders.is_multiple_of(every.max(1)) => Some("421 closing"),
            _ => None,
        }
    }

    fn closes_greeting(&self) -> bool {
        let mut mailbox = self.mailbox();
        let closes = mailbox.closed_greetings > 0;
        mailbox.closed_greetings -= usize::from(closes);
        closes
    }

    fn behavior_towards(&self, recipient: &str) -> Behavior {
        let mut mailbox = self.mailbox();
        if let Some(script) = mailbox.scripts.get_mut(recipient) {
            let last = script.back().copied();
            let next = if script.len() > 1 { script.pop_front() } else { last };
            return next.unwrap_or(Behavior::Accept);
        }
        if let Some(next) = mailbox.next.pop_front() {
            return next;
        }
        mailbox.recipients += 1;
        match *self.state.borrow() {
            State::Up(behavior, every) if mailbox.recipients.is_multiple_of(every.max(1)) => behavior,
            _ => Behavior::Accept,
        }
    }

    fn mailbox(&self) -> MutexGuard<'_, Mailbox> {
        // A panic cannot leave a list half-written.
        self.mailbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The content up to the line with a single dot, with doubled dots undone; `None` if the client disconnects before.
///
/// A line feed alone ends a line, as careless servers have it: a command that is smuggled behind one shows in
/// [`SmtpServer::commands`].
async fn content(stream: &mut BufReader<TcpStream>) -> io::Result<Option<String>> {
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

/// Reads without a reply until the client disconnects.
async fn hang(mut stream: BufReader<TcpStream>) -> io::Result<()> {
    let mut ignored = Vec::new();
    stream.read_to_end(&mut ignored).await.map(drop)
}
