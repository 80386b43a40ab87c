//! One recording of a leg: a frame of each direction every tick, gaps as silence.

use callbox_audio::{FRAME_SAMPLES, Silence};
use callbox_model::{MediaFault, Millis, RecordEnd, RecordPlan, StepId, Tracks};

use crate::writer::{Task, Writer};

pub(crate) struct Recorder {
    pub(crate) step: StepId,
    plan: RecordPlan,
    block: Vec<i16>,
    frames: u64,
    pause: Pause,
    silence: Silence,
    failed: Option<MediaFault>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pause {
    No,
    /// Silence stands in its place.
    Silent,
    /// Nothing does.
    Left,
}

impl Recorder {
    pub(crate) fn new(step: StepId, plan: RecordPlan, writer: &Writer) -> Self {
        let channels = if plan.tracks == Tracks::Separate { 2 } else { 1 };
        let begun = writer.give(Task::Begin { recording: plan.recording, tenant: plan.tenant, channels });
        Self {
            step,
            block: Vec::with_capacity(BLOCK_SAMPLES * usize::from(channels)),
            plan,
            frames: 0,
            pause: Pause::No,
            silence: Silence::default(),
            failed: begun.err().map(|_| slow()),
        }
    }

    pub(crate) fn pause(&mut self, silence: bool) {
        self.pause = if silence { Pause::Silent } else { Pause::Left };
    }

    pub(crate) fn resume(&mut self) {
        self.pause = Pause::No;
    }

    /// One tick. Says why, when it is to end.
    pub(crate) fn hear(
        &mut self,
        received: &[i16; FRAME_SAMPLES],
        sent: &[i16; FRAME_SAMPLES],
        writer: &Writer,
    ) -> Option<&'static str> {
        if self.pause == Pause::Left {
            return None;
        }
        let quiet = [0i16; FRAME_SAMPLES];
        let (received, sent) = if self.pause == Pause::Silent { (&quiet, &quiet) } else { (received, sent) };
        for (&heard, &said) in received.iter().zip(sent) {
            match self.plan.tracks {
                Tracks::Mixed => self.block.push(heard.saturating_add(said)),
                Tracks::Separate => self.block.extend([heard, said]),
            }
        }
        self.frames += 1;
        if self.block.len() >= self.block.capacity() {
            self.flush(writer);
        }
        let silent_ms = self.silence.hear(received);
        if self.failed.is_some() {
            Some("failed")
        } else if self.plan.max.is_some_and(|max| self.length_ms() >= max) {
            Some("max")
        } else if self.pause == Pause::No && self.plan.silence.is_some_and(|silence| silent_ms >= silence) {
            Some("silence")
        } else {
            None
        }
    }

    /// Ends it. `told` hears of it when the file is in its place.
    pub(crate) fn finish(mut self, by: &'static str, writer: &Writer, told: impl FnOnce(RecordEnd) + Send + 'static) {
        self.flush(writer);
        let length = self.length_ms();
        let failed = self.failed.take();
        let done = Box::new(move |written: Result<u64, String>| {
            told(match (failed, written) {
                (Some(fault), _) => RecordEnd::Failed(fault),
                (None, Err(why)) => RecordEnd::Failed(MediaFault::Node(why)),
                (None, Ok(bytes)) => RecordEnd::Finished { length, bytes, by },
            });
        });
        if let Err(Task::Finish { done, .. }) = writer.give(Task::Finish { recording: self.plan.recording, done }) {
            done(Err("the disk does not keep up with the recordings".to_owned()));
        }
    }

    fn length_ms(&self) -> Millis {
        u32::try_from(self.frames * 20).unwrap_or(Millis::MAX)
    }

    fn flush(&mut self, writer: &Writer) {
        if self.block.is_empty() || self.failed.is_some() {
            return;
        }
        let next = Vec::with_capacity(self.block.capacity());
        let samples = std::mem::replace(&mut self.block, next);
        if writer.give(Task::Block { recording: self.plan.recording, samples }).is_err() {
            self.failed = Some(slow());
        }
    }
}

fn slow() -> MediaFault {
    MediaFault::Node("the disk does not keep up with the recordings".to_owned())
}

/// Half a second.
const BLOCK_SAMPLES: usize = 4_000;
