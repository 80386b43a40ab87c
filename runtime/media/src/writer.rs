//! Recordings on their way to the disk: one thread, a bounded queue of blocks.
//!
//! A file is written beside its place, finished, synced, and then put there: what has the name of a
//! recording is a whole one.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use callbox_audio::Header;
use callbox_model::{RecordingId, TenantId};

use crate::Error;

pub(crate) enum Task {
    Begin {
        recording: RecordingId,
        tenant: TenantId,
        channels: u16,
    },
    Block {
        recording: RecordingId,
        samples: Vec<i16>,
    },
    /// `done` is told how many bytes it has, or why there is none.
    Finish {
        recording: RecordingId,
        done: Box<dyn FnOnce(Result<u64, String>) + Send>,
    },
    /// Done when all before it is.
    Then(Box<dyn FnOnce() + Send>),
}

#[derive(Clone)]
pub(crate) struct Writer {
    tasks: SyncSender<Task>,
}

struct Open {
    file: File,
    part: PathBuf,
    place: PathBuf,
    channels: u16,
    data_bytes: u64,
    failed: Option<String>,
}

impl Writer {
    pub(crate) fn start(folder: PathBuf, queue: usize) -> Result<Self, Error> {
        fs::create_dir_all(&folder).map_err(Error::Folder)?;
        let (tasks, waiting) = sync_channel(queue);
        std::thread::Builder::new()
            .name("recordings".to_owned())
            .spawn(move || work(&folder, &waiting))
            .map_err(Error::Thread)?;
        Ok(Self { tasks })
    }

    /// False when the disk does not keep up.
    pub(crate) fn give(&self, task: Task) -> Result<(), Task> {
        self.tasks.try_send(task).map_err(|error| match error {
            std::sync::mpsc::TrySendError::Full(task) | std::sync::mpsc::TrySendError::Disconnected(task) => task,
        })
    }
}

fn work(folder: &Path, waiting: &Receiver<Task>) {
    let mut open: HashMap<RecordingId, Result<Open, String>> = HashMap::new();
    while let Ok(task) = waiting.recv() {
        match task {
            Task::Begin { recording, tenant, channels } => {
                open.insert(recording, Open::begin(folder, recording, tenant, channels));
            }
            Task::Block { recording, samples } => {
                if let Some(Ok(file)) = open.get_mut(&recording) {
                    file.write(&samples);
                }
            }
            Task::Finish { recording, done } => {
                let result = match open.remove(&recording) {
                    Some(Ok(file)) => file.finish(),
                    Some(Err(why)) => Err(why),
                    None => Err("it was never begun".to_owned()),
                };
                done(result);
            }
            Task::Then(done) => done(),
        }
    }
}

impl Open {
    fn begin(folder: &Path, recording: RecordingId, tenant: TenantId, channels: u16) -> Result<Self, String> {
        let folder = folder.join(tenant.to_string());
        let place = folder.join(format!("{recording}.wav"));
        let part = folder.join(format!("{recording}.part"));
        let begin = || -> std::io::Result<File> {
            fs::create_dir_all(&folder)?;
            let mut file = File::create(&part)?;
            file.write_all(&Header { channels, data_bytes: 0 }.bytes())?;
            Ok(file)
        };
        let file = begin().map_err(|error| format!("cannot begin {}: {error}", part.display()))?;
        Ok(Self { file, part, place, channels, data_bytes: 0, failed: None })
    }

    fn write(&mut self, samples: &[i16]) {
        if self.failed.is_some() {
            return;
        }
        let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        match self.file.write_all(&bytes) {
            Ok(()) => self.data_bytes += bytes.len() as u64,
            Err(error) => self.failed = Some(format!("cannot write {}: {error}", self.part.display())),
        }
    }

    fn finish(mut self) -> Result<u64, String> {
        let result = match self.failed.take() {
            Some(why) => Err(why),
            None => self.put().map_err(|error| format!("cannot finish {}: {error}", self.part.display())),
        };
        if result.is_err() {
            let _ = fs::remove_file(&self.part);
        }
        result
    }

    fn put(&mut self) -> std::io::Result<u64> {
        let data_bytes = u32::try_from(self.data_bytes).unwrap_or(u32::MAX);
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&Header { channels: self.channels, data_bytes }.bytes())?;
        self.file.sync_all()?;
        fs::rename(&self.part, &self.place)?;
        Ok(self.data_bytes + 44)
    }
}
