//! Recording the leg. It runs beside what is played, one at a time.

use callbox_model::{
    Change, MediaCommand, Millis, Outcome, RecordEnd, RecordOptions, RecordPlan, Recorded, RecordingId, StepError,
    StepId, Tracks,
};

use crate::Output;
use crate::call::Call;
use crate::control::Wait;
use crate::line::media_words;

#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) step: StepId,
    recording: RecordingId,
    stop_on: String,
    stopped_by: Option<char>,
}

impl Call {
    pub(crate) fn start_recording(
        &mut self,
        options: RecordOptions,
        out: &mut Vec<Output>,
    ) -> Result<StepId, StepError> {
        self.check_leg(options.leg)?;
        let max = self.check_record(&options)?;
        self.check_heard()?;
        if let Some(recorder) = &self.recorder {
            let why = format!("leg 1 is being recorded already, by step {}", recorder.step);
            return Err(StepError::State(why));
        }
        let step = self.next_step();
        let recording = RecordingId::new(&self.ids, self.now.wall);
        self.record(Change::StepStarted { step, kind: "record".to_owned(), detail: recording.to_string() }, out);
        self.record(Change::RecordingStarted { recording, step }, out);
        self.recorder =
            Some(Recorder { step, recording, stop_on: options.stop_on.unwrap_or_default(), stopped_by: None });
        let plan = RecordPlan {
            recording,
            tenant: self.tenant,
            tracks: if options.separate_tracks == Some(true) { Tracks::Separate } else { Tracks::Mixed },
            max: Some(max),
            silence: options.silence,
            beep: options.beep == Some(true),
        };
        out.push(Output::Media(self.leg, MediaCommand::Record { step, plan }));
        Ok(step)
    }

    /// `stop` of a recording. False when there is no such recording.
    pub(crate) fn stop_recording(&mut self, step: StepId, out: &mut Vec<Output>) -> bool {
        if !self.is_recording(step) {
            return false;
        }
        out.push(Output::Media(self.leg, MediaCommand::StopRecord { step }));
        true
    }

    pub(crate) fn pause_recording(
        &mut self,
        step: StepId,
        silence: bool,
        out: &mut Vec<Output>,
    ) -> Result<(), StepError> {
        self.check_recording(step)?;
        out.push(Output::Media(self.leg, MediaCommand::PauseRecord { step, silence }));
        Ok(())
    }

    pub(crate) fn resume_recording(&mut self, step: StepId, out: &mut Vec<Output>) -> Result<(), StepError> {
        self.check_recording(step)?;
        out.push(Output::Media(self.leg, MediaCommand::ResumeRecord { step }));
        Ok(())
    }

    pub(crate) fn stop_recording_on(&mut self, digit: char, out: &mut Vec<Output>) {
        let Some(recorder) = &mut self.recorder else { return };
        if recorder.stopped_by.is_none() && recorder.stop_on.contains(digit) {
            recorder.stopped_by = Some(digit);
            let step = recorder.step;
            out.push(Output::Media(self.leg, MediaCommand::StopRecord { step }));
        }
    }

    pub(crate) fn recorded(&mut self, step: StepId, end: RecordEnd, out: &mut Vec<Output>) {
        let Some(recorder) = self.recorder.take_if(|recorder| recorder.step == step) else {
            self.strays += 1;
            return;
        };
        let recording = recorder.recording;
        let stopped_by = recorder.stopped_by.map(|digit| digit.to_string());
        let (length_ms, bytes, failed) = match &end {
            RecordEnd::Finished { length, bytes, .. } => (*length, *bytes, None),
            RecordEnd::Failed(fault) => (0, 0, Some(media_words(fault))),
        };
        let outcome = match &failed {
            Some(why) => Outcome::Failed(StepError::Unavailable(why.clone())),
            None => Outcome::Recorded(Recorded { id: recording.to_string(), length: length_ms, stopped_by }),
        };
        self.record(Change::RecordingEnded { recording, length_ms, bytes, failed }, out);
        let words = crate::play::outcome_words(&outcome);
        self.record(Change::StepEnded { step, kind: "record".to_owned(), outcome: words }, out);
        self.done(step, |wait| *wait == Wait::Record(step), outcome, out);
    }

    /// Media's port is closed, and it has not told of the recording's end.
    pub(crate) fn forget_recording(&mut self, out: &mut Vec<Output>) {
        if let Some(step) = self.recorder.as_ref().map(|recorder| recorder.step) {
            let fault = callbox_model::MediaFault::Node("the recording did not come to its end".to_owned());
            self.recorded(step, RecordEnd::Failed(fault), out);
        }
    }

    fn is_recording(&self, step: StepId) -> bool {
        self.recorder.as_ref().is_some_and(|recorder| recorder.step == step)
    }

    fn check_recording(&self, step: StepId) -> Result<(), StepError> {
        if self.is_recording(step) {
            Ok(())
        } else {
            Err(StepError::State(format!("step {step} is no running recording")))
        }
    }

    /// The longest that this recording may become.
    fn check_record(&self, options: &RecordOptions) -> Result<Millis, StepError> {
        let most = self.application.limits.recording_s.saturating_mul(1_000);
        self.check_bounds("max", options.max, 1, most)?;
        self.check_bounds("silence", options.silence, 100, most)?;
        self.check_digit_set("stop-on", options.stop_on.as_deref())?;
        Ok(options.max.unwrap_or(most))
    }
}
