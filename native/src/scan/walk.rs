//! The threads of a scan.

use super::record::{Entry, Scan, Xattr};
use rustix::fd::OwnedFd;
use rustix::fs::{
    lgetxattr, llistxattr, openat, readlinkat, statx, AtFlags, Dir, FileType, Mode, OFlags, Statx,
    StatxFlags, CWD,
};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// A directory to read.
struct Job {
    number: u32,
    path: Vec<u8>,
}

#[derive(Default)]
struct Queue {
    jobs: Vec<Job>,
    /// Directories so far, which is the number of the next one.
    known: u32,
    /// Directories that are being read: they may bring more.
    busy: usize,
    /// More than the form of the result can hold.
    overflow: bool,
}

struct Scanner {
    with_xattrs: bool,
    queue: Mutex<Queue>,
    changed: Condvar,
}

/// Reads the directory at `path` and all below it; `None` when that is more than the form of the result can hold.
///
/// What cannot be read is told in its record: whoever reads the result may not want it.
pub fn scan(path: &[u8], with_xattrs: bool, threads: usize) -> Option<Scan> {
    let scanner = Scanner {
        with_xattrs,
        queue: Mutex::default(),
        changed: Condvar::new(),
    };
    let mut all = Scan::default();
    scanner.root(path, &mut all)?;
    let parts: Vec<Scan> = thread::scope(|scope| {
        let others: Vec<_> = (1..threads)
            .map(|_| scope.spawn(|| scanner.work()))
            .collect();
        let mut parts = vec![scanner.work()];
        parts.extend(others.into_iter().filter_map(|other| other.join().ok()));
        parts
    });
    if scanner.lock().overflow {
        return None;
    }
    for part in &parts {
        all.merge(part)?;
    }
    Some(all)
}

impl Scanner {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn root(&self, path: &[u8], found: &mut Scan) -> Option<()> {
        let name = CString::new(path).ok()?;
        // The root may be named by a symbolic link.
        let stat = statx(CWD, &name, AtFlags::empty(), StatxFlags::BASIC_STATS);
        let (stat, errno) = match stat {
            Ok(stat) => (Some(stat), 0),
            Err(error) => (None, error.raw_os_error()),
        };
        let is_directory = stat.as_ref().is_some_and(is_directory);
        let xattrs = if self.with_xattrs && is_directory {
            read_xattrs(&[path, b"/."].concat())
        } else {
            Ok(Vec::new())
        };
        found.push(&Entry {
            parent: 0,
            number: 0,
            errno: xattrs
                .as_ref()
                .err()
                .map_or(errno, |error| error.raw_os_error()),
            stat: stat.as_ref(),
            name: b"",
            target: b"",
            xattrs: &xattrs.unwrap_or_default(),
        })?;
        let mut queue = self.lock();
        queue.known = 1;
        if is_directory {
            queue.jobs.push(Job {
                number: 0,
                path: path.to_vec(),
            });
        }
        Some(())
    }

    fn work(&self) -> Scan {
        let mut found = Scan::default();
        let mut names = Names::default();
        while let Some(job) = self.next() {
            let pushed = self.directory(&job, &mut names, &mut found);
            let mut queue = self.lock();
            queue.busy -= 1;
            queue.overflow |= pushed.is_none();
            drop(queue);
            self.changed.notify_all();
        }
        found
    }

    fn next(&self) -> Option<Job> {
        let mut queue = self.lock();
        loop {
            if queue.overflow {
                return None;
            }
            if let Some(job) = queue.jobs.pop() {
                queue.busy += 1;
                return Some(job);
            }
            if queue.busy == 0 {
                return None;
            }
            queue = self
                .changed
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Records of all entries of a directory; its directories go to the queue.
    fn directory(&self, job: &Job, names: &mut Names, found: &mut Scan) -> Option<()> {
        let opened = open_directory(&job.path)
            .and_then(|directory| names.read(&directory).map(|()| directory));
        let directory = match opened {
            Ok(directory) => directory,
            // A record without a name: of the directory itself.
            Err(error) => {
                return found.push(&Entry {
                    parent: job.number,
                    number: 0,
                    errno: error.raw_os_error(),
                    stat: None,
                    name: b"",
                    target: b"",
                    xattrs: &[],
                })
            }
        };
        let mut jobs = Vec::new();
        for name in names.sorted() {
            self.entry(job, &directory, name, &mut jobs, found)?;
        }
        if !jobs.is_empty() {
            // The first one by name is taken first.
            self.lock().jobs.extend(jobs.into_iter().rev());
            self.changed.notify_all();
        }
        Some(())
    }

    fn entry(
        &self,
        job: &Job,
        directory: &OwnedFd,
        name: &CStr,
        jobs: &mut Vec<Job>,
        found: &mut Scan,
    ) -> Option<()> {
        let bytes = name.to_bytes();
        let path = || [&job.path, &b"/"[..], bytes].concat();
        let mut entry = Entry {
            parent: job.number,
            number: 0,
            errno: 0,
            stat: None,
            name: bytes,
            target: b"",
            xattrs: &[],
        };
        let stat = match statx(
            directory,
            name,
            AtFlags::SYMLINK_NOFOLLOW,
            StatxFlags::BASIC_STATS,
        ) {
            Ok(stat) => stat,
            Err(error) => {
                entry.errno = error.raw_os_error();
                return found.push(&entry);
            }
        };
        entry.stat = Some(&stat);
        if is_directory(&stat) {
            let mut queue = self.lock();
            entry.number = queue.known;
            queue.known = queue.known.checked_add(1)?;
            drop(queue);
            jobs.push(Job {
                number: entry.number,
                path: path(),
            });
        }
        let read = || -> Result<_, Errno> {
            let target = if FileType::from_raw_mode(stat.stx_mode.into()) == FileType::Symlink {
                readlinkat(directory, name, Vec::new())?.into_bytes()
            } else {
                Vec::new()
            };
            let xattrs = if self.with_xattrs {
                read_xattrs(&path())?
            } else {
                Vec::new()
            };
            Ok((target, xattrs))
        };
        match read() {
            Ok((target, xattrs)) => found.push(&Entry {
                target: &target,
                xattrs: &xattrs,
                ..entry
            }),
            Err(error) => {
                entry.errno = error.raw_os_error();
                found.push(&entry)
            }
        }
    }
}

fn is_directory(stat: &Statx) -> bool {
    FileType::from_raw_mode(stat.stx_mode.into()) == FileType::Directory
}

fn open_directory(path: &[u8]) -> Result<OwnedFd, Errno> {
    openat(
        CWD,
        path,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
}

/// The names of a directory, without an allocation for each.
#[derive(Default)]
struct Names {
    /// Each with its NUL.
    bytes: Vec<u8>,
    ranges: Vec<(u32, u32)>,
}

impl Names {
    fn read(&mut self, directory: &OwnedFd) -> Result<(), Errno> {
        self.bytes.clear();
        self.ranges.clear();
        for entry in Dir::read_from(directory)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes_with_nul();
            if name == b".\0" || name == b"..\0" {
                continue;
            }
            let start = u32::try_from(self.bytes.len()).map_err(|_| Errno::OVERFLOW)?;
            self.bytes.extend_from_slice(name);
            let end = u32::try_from(self.bytes.len()).map_err(|_| Errno::OVERFLOW)?;
            self.ranges.push((start, end));
        }
        let bytes = &self.bytes;
        let at = |&(start, end): &(u32, u32)| bytes.get(start as usize..end as usize);
        self.ranges.sort_unstable_by(|a, b| at(a).cmp(&at(b)));
        Ok(())
    }

    fn sorted(&self) -> impl Iterator<Item = &CStr> {
        self.ranges.iter().filter_map(|&(start, end)| {
            let name = self.bytes.get(start as usize..end as usize)?;
            CStr::from_bytes_with_nul(name).ok()
        })
    }
}

/// Names and values, in the order of the names.
fn read_xattrs(path: &[u8]) -> Result<Vec<Xattr>, Errno> {
    let list = match grown(|buffer| llistxattr(path, buffer)) {
        Ok(list) => list,
        // A file system without them.
        Err(Errno::NOTSUP) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut xattrs = Vec::new();
    for name in list
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty())
    {
        match grown(|buffer| lgetxattr(path, name, buffer)) {
            Ok(value) => xattrs.push((name.to_vec(), value)),
            // Removed meanwhile, or one that the file system lists and does not hand out.
            Err(Errno::NODATA | Errno::NOTSUP) => {}
            Err(error) => return Err(error),
        }
    }
    xattrs.sort();
    Ok(xattrs)
}

/// Calls with larger buffers until one is large enough; the kernel's limit is 64 KiB.
fn grown(mut call: impl FnMut(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut buffer = vec![0; 256];
    loop {
        match call(&mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(buffer);
            }
            Err(Errno::RANGE) if buffer.len() <= 1 << 16 => buffer.resize(buffer.len() * 16, 0),
            Err(error) => return Err(error),
        }
    }
}
