//! E-mails as files, where there is no mail server. One thread writes them, in groups: a task for each file would be two
//! switches of a thread for some microseconds of work.

use std::path::{Path, PathBuf};
use std::{fs, io, thread};

use tokio::sync::{mpsc, oneshot};

/// Files that may wait; more wait outside of the queue.
const MAX_WAITING: usize = 256;
/// Files of one group, which is answered as a whole.
const MAX_GROUP: usize = 64;

/// A directory of e-mails; cheap to clone. The thread ends with the last clone.
#[derive(Clone)]
pub struct Files(mpsc::Sender<File>);

struct File {
    name: String,
    content: Vec<u8>,
    written: oneshot::Sender<io::Result<()>>,
}

impl Files {
    /// Makes the directory, and starts the thread.
    pub(super) fn open(directory: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&directory)?;
        let (sender, files) = mpsc::channel(MAX_WAITING);
        thread::Builder::new().name("mail-files".to_owned()).spawn(move || run(&directory, files))?;
        Ok(Self(sender))
    }

    /// Writes `{name}.eml`; a file of that name is replaced.
    pub(super) async fn write(&self, name: &str, content: Vec<u8>) -> io::Result<()> {
        let (written, answer) = oneshot::channel();
        let file = File { name: name.to_owned(), content, written };
        self.0.send(file).await.map_err(|_| io::ErrorKind::BrokenPipe)?;
        answer.await.map_err(|_| io::ErrorKind::BrokenPipe)?
    }
}

fn run(directory: &Path, mut files: mpsc::Receiver<File>) {
    let mut group = Vec::with_capacity(MAX_GROUP);
    while files.blocking_recv_many(&mut group, MAX_GROUP) > 0 {
        let outcomes: Vec<_> = group.iter().map(|file| write(directory, file)).collect();
        // All at once: the thread that waits wakes up for the group, and not for each file.
        for (file, outcome) in group.drain(..).zip(outcomes) {
            // The attempt may have been dropped; the file may be written again.
            let _ = file.written.send(outcome);
        }
    }
}

/// Renamed when whole, so that a reader of the directory never finds half an e-mail.
fn write(directory: &Path, file: &File) -> io::Result<()> {
    let [part, whole] = ["part", "eml"].map(|kind| directory.join(format!("{}.{kind}", file.name)));
    fs::write(&part, &file.content)?;
    fs::rename(part, whole)
}
