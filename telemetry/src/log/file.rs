//! The log file: renamed when it is full, so that a program that follows it reads it to the end, and bounded in number.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::lock::{claim, try_lock};

/// Between two attempts to rename a full file.
const RETRY: Duration = Duration::from_secs(1);

/// `<name>.log`, or `<name>.2.log` and so on while other processes have those before it; older ones as `<name>.log.1`,
/// `<name>.log.2`, ...
pub(super) struct LogFile {
    /// Of the first process.
    first: PathBuf,
    path: PathBuf,
    file: File,
    inode: u64,
    limit: u64,
    /// Renamed files that are kept.
    older: usize,
    retry: Option<Instant>,
}

impl LogFile {
    /// Appends to the file at `first`, or to one beside it; at `limit` bytes it is renamed, and `older` renamed files
    /// are kept.
    pub(super) fn open(first: PathBuf, limit: usize, older: usize) -> io::Result<Self> {
        let (path, file) = open_first(&first)?;
        let inode = file.metadata()?.ino();
        Ok(Self { first, path, file, inode, limit: limit as u64, older, retry: None })
    }

    /// The size of the file. Opens another one if the file was removed or replaced.
    fn size(&mut self) -> u64 {
        match fs::metadata(&self.path) {
            Ok(found) if found.ino() == self.inode => found.len(),
            _ => {
                if let Ok(other) = Self::open(self.first.clone(), 0, 0) {
                    (self.path, self.file, self.inode) = (other.path, other.file, other.inode);
                }
                self.file.metadata().map_or(0, |file| file.len())
            }
        }
    }

    /// Opens the next file before the others are renamed: without one, the lines go on into the full file.
    fn rotate(&mut self) -> io::Result<()> {
        let next = self.path.with_added_extension("new");
        let file = OpenOptions::new().create(true).append(true).open(&next)?;
        let inode = file.metadata()?.ino();
        // An error means that the file system has no locks.
        let _ = try_lock(&file);
        // A file that could not be renamed before has left a gap: the files above it stay as they are.
        let gap = (1..=self.older).find(|number| !self.named(*number).exists()).unwrap_or(self.older);
        for number in (0..gap).rev() {
            fs::rename(self.named(number), self.named(number + 1))?;
        }
        fs::rename(next, &self.path)?;
        (self.file, self.inode) = (file, inode);
        Ok(())
    }

    fn named(&self, number: usize) -> PathBuf {
        match number {
            0 => self.path.clone(),
            _ => self.path.with_added_extension(number.to_string()),
        }
    }
}

/// The first file that can be opened, and that no other process writes to: two that rename the same file would lose one,
/// and a process that takes back half a line would cut what the other has written since.
fn open_first(first: &Path) -> io::Result<(PathBuf, File)> {
    if let Some(directory) = first.parent() {
        fs::create_dir_all(directory)?;
    }
    claim(|number| {
        let path = match number {
            1 => first.to_owned(),
            _ => first.with_extension(format!("{number}.log")),
        };
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        // A file system without locks is one for a single process.
        Ok(try_lock(&file).unwrap_or(true).then_some((path, file)))
    })
}

impl Write for LogFile {
    /// Takes whole lines, and all of them or none.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let mut size = self.size();
        let is_full = size > 0 && size + lines.len() as u64 > self.limit;
        if is_full && self.retry.is_none_or(|retry| retry.elapsed() >= RETRY) {
            match self.rotate() {
                Ok(()) => (size, self.retry) = (0, None),
                Err(_) => self.retry = Some(Instant::now()),
            }
        }
        if let Err(error) = self.file.write_all(lines) {
            // A disk that is full must not leave half a line.
            let _ = self.file.set_len(size);
            return Err(error);
        }
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_full_file_is_renamed_and_the_number_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("logs").join("x.log");
        let mut file = LogFile::open(path.clone(), 10, 2).unwrap();
        for line in ["1111\n", "2222\n", "33333\n", "longer than a file\n", "4\n"] {
            file.write_all(line.as_bytes()).unwrap();
        }
        assert_eq!(names(path.parent().unwrap()), ["x.log", "x.log.1", "x.log.2"]);
        let read = |number| fs::read_to_string(file.named(number)).unwrap();
        assert_eq!([read(2), read(1), read(0)], ["33333\n", "longer than a file\n", "4\n"]);
    }

    #[test]
    fn a_restart_continues_the_file_and_its_size() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.log");
        LogFile::open(path.clone(), 10, 1).unwrap().write_all(b"1111\n").unwrap();
        let mut file = LogFile::open(path.clone(), 10, 1).unwrap();
        file.write_all(b"2222\n").unwrap();
        file.write_all(b"3\n").unwrap();
        assert_eq!(fs::read_to_string(file.named(1)).unwrap(), "1111\n2222\n");
        assert_eq!(fs::read_to_string(path).unwrap(), "3\n");
    }

    #[test]
    fn processes_at_once_write_beside_each_other() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.log");
        let [mut first, mut second] = [(); 2].map(|()| LogFile::open(path.clone(), 10, 1).unwrap());
        for _ in 0..3 {
            first.write_all(b"1111\n").unwrap();
            second.write_all(b"2222\n").unwrap();
        }
        assert_eq!(names(directory.path()), ["x.2.log", "x.2.log.1", "x.log", "x.log.1"]);
        let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
        assert_eq!([read("x.log.1"), read("x.log")], ["1111\n1111\n", "1111\n"]);
        assert_eq!([read("x.2.log.1"), read("x.2.log")], ["2222\n2222\n", "2222\n"]);
        drop(first);
        // As the next process does.
        LogFile::open(path, 10, 1).unwrap().write_all(b"3333\n").unwrap();
        assert_eq!(read("x.log"), "1111\n3333\n");
    }

    #[test]
    fn a_follower_reads_the_renamed_file_to_its_end() {
        use std::io::Read;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.log");
        let mut file = LogFile::open(path.clone(), 6, 1).unwrap();
        let mut follower = File::open(&path).unwrap();
        file.write_all(b"1111\n").unwrap();
        file.write_all(b"2222\n").unwrap();
        let mut read = String::new();
        follower.read_to_string(&mut read).unwrap();
        assert_eq!(read, "1111\n");
    }

    #[test]
    fn a_file_that_cannot_be_renamed_grows() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.log");
        // A directory that is not empty is in the way.
        fs::create_dir_all(directory.path().join("x.log.1").join("there")).unwrap();
        let mut file = LogFile::open(path.clone(), 6, 1).unwrap();
        file.write_all(b"1111\n").unwrap();
        file.write_all(b"2222\n").unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), "1111\n2222\n");
    }

    #[test]
    fn old_files_stay_while_the_next_one_cannot_be_opened() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.log");
        let mut file = LogFile::open(path.clone(), 6, 2).unwrap();
        file.write_all(b"1111\n").unwrap();
        file.write_all(b"2222\n").unwrap();
        // As with no descriptor or inode left.
        fs::create_dir(directory.path().join("x.log.new")).unwrap();
        for line in ["3333\n", "4444\n", "5555\n"] {
            file.retry = None;
            file.write_all(line.as_bytes()).unwrap();
        }
        let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
        assert_eq!(
            (read("x.log"), read("x.log.1")),
            ("2222\n3333\n4444\n5555\n".to_owned(), "1111\n".to_owned())
        );
        fs::remove_dir(directory.path().join("x.log.new")).unwrap();
        file.retry = None;
        file.write_all(b"6666\n").unwrap();
        assert_eq!((read("x.log"), read("x.log.2")), ("6666\n".to_owned(), "1111\n".to_owned()));
    }

    #[test]
    fn a_directory_in_the_way_costs_no_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.log");
        let mut file = LogFile::open(path.clone(), 6, 3).unwrap();
        for line in ["1111\n", "2222\n", "3333\n"] {
            file.write_all(line.as_bytes()).unwrap();
        }
        fs::rename(directory.path().join("x.log.1"), directory.path().join("kept")).unwrap();
        fs::create_dir_all(directory.path().join("x.log.1").join("there")).unwrap();
        for _ in 0..5 {
            file.retry = None;
            file.write_all(b"4444\n").unwrap();
        }
        let names = names(directory.path());
        let all: Vec<_> =
            names.iter().filter_map(|name| fs::read_to_string(directory.path().join(name)).ok()).collect();
        for line in ["1111\n", "2222\n", "3333\n", "4444\n"] {
            assert!(all.iter().any(|text| text.contains(line)), "{line} is lost: {all:?}");
        }
    }

    #[test]
    fn a_file_that_others_remove_or_replace_is_made_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.log");
        let mut file = LogFile::open(path.clone(), 100, 1).unwrap();
        file.write_all(b"1111\n").unwrap();
        fs::remove_file(&path).unwrap();
        file.write_all(b"2222\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "2222\n");
        fs::write(&path, "").unwrap();
        file.write_all(b"3333\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "3333\n");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        file.write_all(b"4444\n").unwrap();
        assert_eq!(fs::read_to_string(directory.path().join("x.2.log")).unwrap(), "4444\n");
        fs::remove_dir_all(directory.path()).unwrap();
        file.write_all(b"5555\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "5555\n");
    }
}
