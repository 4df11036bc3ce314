//! The log file: renamed when it is full, so that whoever follows it reads it to the end, and bounded in number.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::pipeline::is_ours;

/// `<name>.log`, or `<name>.2.log` and so on while other processes have those before it; older ones as `<name>.log.1`,
/// `<name>.log.2`, ...
pub(super) struct LogFile {
    /// Of the first process.
    first: PathBuf,
    path: PathBuf,
    file: File,
    size: u64,
    limit: u64,
    older: usize,
}

impl LogFile {
    /// Appends to the file at `first`, or to one beside it; at `limit` bytes it is renamed, and `older` of its kind are
    /// kept.
    pub(super) fn open(first: PathBuf, limit: usize, older: usize) -> io::Result<Self> {
        if let Some(directory) = first.parent() {
            fs::create_dir_all(directory)?;
        }
        let (path, file) = claim(&first)?;
        let size = file.metadata()?.len();
        Ok(Self { first, path, file, size, limit: limit as u64, older })
    }

    fn rotate(&mut self) -> io::Result<()> {
        for number in (0..self.older).rev() {
            match fs::rename(self.named(number), self.named(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        (self.path, self.file) = claim(&self.first)?;
        self.size = self.file.metadata()?.len();
        Ok(())
    }

    fn named(&self, number: usize) -> PathBuf {
        match number {
            0 => self.path.clone(),
            _ => PathBuf::from(format!("{}.{number}", self.path.display())),
        }
    }
}

/// The first file that no other process writes to. Two that rename the same file would lose one, and whoever takes back
/// half a line would cut what the other has written since.
fn claim(first: &Path) -> io::Result<(PathBuf, File)> {
    let mut path = first.to_owned();
    for number in 2.. {
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        // A file system without locks is one for a single process.
        if is_ours(&file).unwrap_or(true) {
            return Ok((path, file));
        }
        path = first.with_extension(format!("{number}.log"));
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

impl Write for LogFile {
    /// Takes whole lines, and all of them or none.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        if self.size > 0 && self.size + lines.len() as u64 > self.limit {
            // A file that can't be renamed grows; that is better than lines that are lost.
            let _ = self.rotate();
        }
        if let Err(error) = self.file.write_all(lines) {
            // No line is torn, not even by a disk that is full.
            let _ = self.file.set_len(self.size);
            return Err(error);
        }
        self.size += lines.len() as u64;
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
    fn a_full_file_is_renamed_no_line_is_torn_and_only_so_many_are_kept() {
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
    fn a_restart_goes_on_with_the_file_and_its_size() {
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
    fn whoever_follows_the_file_reads_the_renamed_one_to_its_end() {
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
    fn a_file_that_can_not_be_renamed_grows() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.log");
        // A directory that is not empty is in the way.
        fs::create_dir_all(directory.path().join("x.log.1").join("there")).unwrap();
        let mut file = LogFile::open(path.clone(), 6, 1).unwrap();
        file.write_all(b"1111\n").unwrap();
        file.write_all(b"2222\n").unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), "1111\n2222\n");
    }
}
