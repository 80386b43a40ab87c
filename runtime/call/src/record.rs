//! Recording a leg. It runs beside what is played, one at a time.

use callbox_model::{
    Change, LegNumber, MediaCommand, Millis, Outcome, RecordEnd, RecordOptions, RecordPlan, Recorded, RecordingId,
    StepError, StepId, Tracks,
};

use crate::Output;
use crate::call::Call;
use crate::control::Wait;
use crate::leg::Leg;
use crate::sound::media_words;

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
        let number = self.check_leg(options.leg)?;
        let max = self.check_record(&options)?;
        self.check_heard(number)?;
        if let Some(recorder) = self.legs.get(number).and_then(|leg| leg.recorder.as_ref()) {
            let why = format!("leg {number} is being recorded already, by step {}", recorder.step);
            return Err(StepError::State(why));
        }
        let step = self.next_step();
        let recording = RecordingId::new(&self.ids, self.now.wall);
        self.record(Change::StepStarted { step, kind: "record".to_owned(), detail: recording.to_string() }, out);
        self.record(Change::RecordingStarted { recording, step }, out);
        let plan = RecordPlan {
            recording,
            tenant: self.tenant,
            tracks: if options.separate_tracks == Some(true) { Tracks::Separate } else { Tracks::Mixed },
            max: Some(max),
            silence: options.silence,
            beep: options.beep == Some(true),
        };
        if let Some(leg) = self.legs.get_mut(number) {
            let stop_on = options.stop_on.unwrap_or_default();
            leg.recorder = Some(Recorder { step, recording, stop_on, stopped_by: None });
            leg.line.media(MediaCommand::Record { step, plan }, out);
        }
        Ok(step)
    }

    /// `stop` of a recording. False when there is no such recording.
    pub(crate) fn stop_recording(&mut self, step: StepId, out: &mut Vec<Output>) -> bool {
        let Some(leg) = self.recorded_leg(step) else { return false };
        leg.line.media(MediaCommand::StopRecord { step }, out);
        true
    }

    pub(crate) fn pause_recording(
        &mut self,
        step: StepId,
        silence: bool,
        out: &mut Vec<Output>,
    ) -> Result<(), StepError> {
        self.check_recording(step)?.line.media(MediaCommand::PauseRecord { step, silence }, out);
        Ok(())
    }

    pub(crate) fn resume_recording(&mut self, step: StepId, out: &mut Vec<Output>) -> Result<(), StepError> {
        self.check_recording(step)?.line.media(MediaCommand::ResumeRecord { step }, out);
        Ok(())
    }

    pub(crate) fn stop_recording_on(&mut self, number: LegNumber, digit: char, out: &mut Vec<Output>) {
        let Some(leg) = self.legs.get_mut(number) else { return };
        let Some(recorder) = &mut leg.recorder else { return };
        if recorder.stopped_by.is_none() && recorder.stop_on.contains(digit) {
            recorder.stopped_by = Some(digit);
            let step = recorder.step;
            leg.line.media(MediaCommand::StopRecord { step }, out);
        }
    }

    pub(crate) fn recorded(&mut self, number: LegNumber, step: StepId, end: RecordEnd, out: &mut Vec<Output>) {
        let Some(leg) = self.legs.get_mut(number) else { return };
        let Some(recorder) = leg.recorder.take_if(|recorder| recorder.step == step) else {
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
    pub(crate) fn forget_recording(&mut self, number: LegNumber, out: &mut Vec<Output>) {
        if let Some(step) = self.legs.get(number).and_then(|leg| Some(leg.recorder.as_ref()?.step)) {
            let fault = callbox_model::MediaFault::Node("the recording did not come to its end".to_owned());
            self.recorded(number, step, RecordEnd::Failed(fault), out);
        }
    }

    fn recorded_leg(&self, step: StepId) -> Option<&Leg> {
        self.legs.all.iter().find(|leg| leg.recorder.as_ref().is_some_and(|recorder| recorder.step == step))
    }

    fn check_recording(&self, step: StepId) -> Result<&Leg, StepError> {
        self.recorded_leg(step).ok_or_else(|| StepError::State(format!("step {step} is no running recording")))
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
