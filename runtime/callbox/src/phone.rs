//! A small real phone: one SIP call with real sound, for the terminal and the demo.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use callbox_model::{
    ApplicationId, Codec, Egress, EndCause, Frames, LegCommand, LegEvent, LegKey, MediaCommand, MediaEvent, MediaFault,
    MediaPlan, Offered, RecordEnd, RecordPlan, RecordingId, Remote, Sound, Speech, TenantId, Tracks, TrunkId,
    TrunkState, UserId, Verifiers, Way,
};
use callbox_sdp::{Agreed, Description, Direction, Session};
use callbox_sip::{Host, Uri};

/// What to do.
#[derive(Clone, Debug)]
pub struct Dial {
    pub uri: String,
    /// Who calls.
    pub from: String,
    /// Pressed after the answer; `w` waits half a second.
    pub digits: String,
    /// What is heard: one channel. With `play`, a second one of what was said.
    pub record: Option<PathBuf>,
    pub play: Option<PathBuf>,
    pub ring: Duration,
    pub talk: Duration,
    pub tcp: bool,
}

/// What happens meanwhile.
pub enum Progress<'p> {
    Dialling { from: SocketAddr },
    Ringing(u16),
    Answered { codec: &'p str },
    Digit(char),
    Pressed,
    HangingUp,
}

/// How it went.
#[derive(Clone, Debug)]
pub struct Told {
    pub answered: bool,
    pub cause: EndCause,
    pub talked: Duration,
    pub frames: Frames,
}

/// Calls, and comes back when the call is over.
pub fn call(dial: &Dial, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Told> {
    let target = Target::find(&dial.uri, dial.tcp)?;
    let folder = tempfile::tempdir().context("cannot make a folder for the recording")?;
    let (news, happened) = channel();
    let to = news.clone();
    let transport = if dial.tcp { callbox_signal::Transport::Tcp } else { callbox_signal::Transport::Udp };
    let listen = callbox_signal::Listen { transport, address: SocketAddr::new(target.local, 0) };
    let config = callbox_signal::Config { listen: vec![listen], ..callbox_signal::Config::default() };
    let told: callbox_signal::Events = Arc::new(move |_, event| drop(to.send(News::Leg(event))));
    let (signal_service, signal) = callbox_signal::Service::start(config, Arc::new(Closed), told, Vec::new())?;
    let config = callbox_media::Config {
        threads: 1,
        files_threads: 1,
        recordings_dir: folder.path().to_owned(),
        ..callbox_media::Config::default()
    };
    let told: callbox_media::Events = Arc::new(move |_, event| drop(news.send(News::Media(event))));
    let (media_service, media) = callbox_media::Service::start(config, Arc::new(Files), Arc::new(Mute), told)?;
    if let Some((_, address)) = signal.listening().first() {
        progress(Progress::Dialling { from: *address });
    }
    let mut phone = Phone {
        dial,
        target,
        signal,
        media,
        happened,
        session: Session::new(u64::from(std::process::id())),
        rtp: None,
        stage: Stage::Opening,
        talked: Duration::ZERO,
        recording: false,
        recorded: None,
    };
    let told = phone.run(progress);
    signal_service.stop();
    media_service.stop();
    let told = told?;
    if let (Some(Ok(())), Some(file)) = (&phone.recorded, &dial.record) {
        let made = folder.path().join(OWNER.to_string()).join(format!("{RECORDING}.wav"));
        std::fs::copy(&made, file).with_context(|| format!("cannot write {}", file.display()))?;
    }
    if let Some(Err(why)) = phone.recorded {
        bail!("the call was not recorded: {why}");
    }
    Ok(told)
}

enum News {
    Leg(LegEvent),
    Media(MediaEvent),
}

struct Phone<'d> {
    dial: &'d Dial,
    target: Target,
    signal: callbox_signal::Handle,
    media: callbox_media::Handle,
    happened: Receiver<News>,
    session: Session,
    /// Where our sound is.
    rtp: Option<SocketAddr>,
    stage: Stage,
    talked: Duration,
    recording: bool,
    recorded: Option<Result<(), String>>,
}

enum Stage {
    Opening,
    Dialling {
        until: Instant,
        early: bool,
    },
    Talking {
        since: Instant,
    },
    Leaving {
        until: Instant,
        answered: bool,
    },
    /// Until the sound is closed, and the recording on the disk.
    Closing {
        told: Told,
        frames: Option<Frames>,
        until: Instant,
    },
}

impl Phone<'_> {
    fn run(&mut self, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Told> {
        let plan = self.plan(None);
        self.media.send(LEG, MediaCommand::Open(plan));
        let mut deadline = Instant::now() + ANSWER_WITHIN;
        loop {
            match self.happened.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(News::Leg(event)) => self.leg(event, progress)?,
                Ok(News::Media(event)) => {
                    if let Some(told) = self.media_says(event, progress)? {
                        return Ok(told);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    if let Some(told) = self.overdue(progress)? {
                        return Ok(told);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => bail!("the phone's own drivers ended"),
            }
            deadline = match &self.stage {
                Stage::Opening => deadline,
                Stage::Dialling { until, .. } | Stage::Leaving { until, .. } | Stage::Closing { until, .. } => *until,
                Stage::Talking { since } => *since + self.dial.talk,
            };
        }
    }

    fn leg(&mut self, event: LegEvent, progress: &mut dyn FnMut(Progress<'_>)) -> Result<()> {
        match event {
            LegEvent::Ringing { status, body, .. } => {
                progress(Progress::Ringing(status));
                if let (Some(body), Stage::Dialling { early, .. }) = (body, &mut self.stage) {
                    *early = true;
                    self.hear(&body)?;
                }
            }
            LegEvent::Answered { body, .. } => {
                let early = matches!(self.stage, Stage::Dialling { early: true, .. });
                self.stage = Stage::Talking { since: Instant::now() };
                let codec = match body {
                    Some(body) => self.hear(&body)?.codec.name(),
                    None if early => "as before",
                    None => bail!("the far end answered without a session description"),
                };
                progress(Progress::Answered { codec });
                if !self.dial.digits.is_empty() {
                    self.media.send(LEG, MediaCommand::SendDigits { digits: self.dial.digits.clone() });
                }
                match &self.dial.play {
                    Some(file) => {
                        let asset = Sound::Asset { application: NOBODY, name: file.display().to_string() };
                        self.play(asset, 1);
                    }
                    None => self.be_quiet(),
                }
            }
            LegEvent::Reoffered { body: Some(body) } => self.reoffered(&body),
            LegEvent::Reoffered { body: None } => {
                self.signal.send(LEG, LegCommand::RefuseReoffer { ask: 9, status: 488 });
            }
            LegEvent::Reply { ask: DIAL, result: Err(refused) } => {
                bail!("cannot dial {}: {refused:?}", self.dial.uri)
            }
            // A phone at a terminal follows nobody.
            LegEvent::Referred { .. } => self.signal.send(LEG, LegCommand::AnswerRefer { ask: 9, status: 603 }),
            LegEvent::Ended(cause) => self.ended(cause),
            LegEvent::Offered(_)
            | LegEvent::Confirmed { .. }
            | LegEvent::Reconfirmed { .. }
            | LegEvent::Reanswered { .. }
            | LegEvent::ReferProgress { .. }
            | LegEvent::Digit { .. }
            | LegEvent::Reply { .. } => {}
        }
        Ok(())
    }

    fn media_says(&mut self, event: MediaEvent, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Option<Told>> {
        match event {
            MediaEvent::Opened { rtp } => {
                self.rtp = Some(rtp);
                let body = self.session.offer(rtp, Direction::SendRecv);
                let way = Way {
                    target: self.target.uri.clone(),
                    caller: format!("<sip:{}@{}>", self.dial.from, host(self.target.local)),
                    routes: Vec::new(),
                    headers: Vec::new(),
                    flow: None,
                    credentials: None,
                    egress: Arc::new(anywhere()),
                    local: self.target.local,
                    media_networks: Arc::default(),
                    trunk: None,
                };
                let dial = LegCommand::Dial {
                    ask: DIAL,
                    way: Box::new(way),
                    body,
                    headers: Vec::new(),
                    timeout_ms: u32::try_from(self.dial.ring.as_millis()).unwrap_or(u32::MAX),
                };
                self.stage = Stage::Dialling { until: Instant::now() + self.dial.ring + ANSWER_WITHIN, early: false };
                self.signal.send(LEG, dial);
            }
            MediaEvent::Failed(fault) => bail!("the phone has no sound: {fault:?}"),
            MediaEvent::DigitBegan { digit } => progress(Progress::Digit(digit)),
            MediaEvent::DigitsSent { .. } => progress(Progress::Pressed),
            MediaEvent::Recorded { end, .. } => {
                self.recorded = Some(match end {
                    RecordEnd::Finished { .. } => Ok(()),
                    RecordEnd::Failed(fault) => Err(format!("{fault:?}")),
                });
            }
            MediaEvent::Played { end: callbox_model::PlayEnd::Failed(fault), .. } => {
                bail!("nothing is played: {fault:?}");
            }
            MediaEvent::Played { step: PLAY, .. } if matches!(self.stage, Stage::Talking { .. }) => self.be_quiet(),
            MediaEvent::Closed { frames } => {
                if let Stage::Closing { frames: counted, .. } = &mut self.stage {
                    *counted = Some(frames);
                }
            }
            _ => {}
        }
        let is_written = !self.recording || self.recorded.is_some();
        Ok(match &self.stage {
            Stage::Closing { told, frames: Some(frames), .. } if is_written => {
                Some(Told { frames: *frames, ..told.clone() })
            }
            _ => None,
        })
    }

    fn play(&self, sound: Sound, repeat: u32) {
        self.media.send(LEG, MediaCommand::Play { step: PLAY, sounds: vec![sound], repeat, gain_db: 0 });
    }

    /// A phone whose user says nothing still sends sound: what hears none for long takes it for lost.
    fn be_quiet(&self) {
        self.play(Sound::Silence(1_000), 0);
    }

    fn overdue(&mut self, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Option<Told>> {
        let until = Instant::now() + LEAVE_WITHIN;
        match std::mem::replace(&mut self.stage, Stage::Opening) {
            Stage::Opening => bail!("the phone's sound does not open"),
            Stage::Closing { told, .. } => return Ok(Some(told)),
            Stage::Leaving { answered, .. } => {
                self.stage = Stage::Leaving { until, answered };
                let reason = "the far end did not confirm the end".to_owned();
                self.ended(EndCause { status: 408, reason, remote: false });
            }
            Stage::Dialling { .. } => {
                self.signal.send(LEG, LegCommand::Hangup { ask: HANG_UP, reason: None });
                self.stage = Stage::Leaving { until, answered: false };
            }
            Stage::Talking { since } => {
                progress(Progress::HangingUp);
                self.talked = since.elapsed();
                self.signal.send(LEG, LegCommand::Hangup { ask: HANG_UP, reason: None });
                self.stage = Stage::Leaving { until, answered: true };
            }
        }
        Ok(None)
    }

    /// Their description came: from now on there is sound.
    fn hear(&mut self, body: &[u8]) -> Result<Agreed> {
        let described = Description::read(body).context("the far end's session description")?;
        let agreed = self.session.accept(&described, Direction::SendRecv).context("the far end's answer")?;
        let plan = self.plan(Some(&agreed));
        self.media.send(LEG, MediaCommand::Update(plan));
        if self.dial.record.is_some() && !self.recording {
            self.recording = true;
            let tracks = if self.dial.play.is_some() { Tracks::Separate } else { Tracks::Mixed };
            let plan =
                RecordPlan { recording: RECORDING, tenant: OWNER, tracks, max: None, silence: None, beep: false };
            self.media.send(LEG, MediaCommand::Record { step: RECORD, plan });
        }
        Ok(agreed)
    }

    /// Hold and its end, mostly.
    fn reoffered(&mut self, body: &[u8]) {
        let answer = self.rtp.zip(Description::read(body).ok());
        let answer = answer.and_then(|(rtp, offer)| self.session.answer(&offer, rtp, Direction::SendRecv).ok());
        match answer {
            Some(written) => {
                let plan = self.plan(Some(&written.agreed));
                self.media.send(LEG, MediaCommand::Update(plan));
                self.signal.send(LEG, LegCommand::AnswerReoffer { ask: 9, body: written.body });
            }
            None => self.signal.send(LEG, LegCommand::RefuseReoffer { ask: 9, status: 488 }),
        }
    }

    fn ended(&mut self, cause: EndCause) {
        let answered = match &self.stage {
            Stage::Talking { since } => {
                self.talked = since.elapsed();
                true
            }
            Stage::Leaving { answered, .. } => *answered,
            Stage::Closing { .. } => return,
            Stage::Opening | Stage::Dialling { .. } => false,
        };
        let told = Told { answered, cause, talked: self.talked, frames: Frames::default() };
        self.stage = Stage::Closing { told, frames: None, until: Instant::now() + LEAVE_WITHIN };
        self.media.send(LEG, MediaCommand::Close);
    }

    fn plan(&self, agreed: Option<&Agreed>) -> MediaPlan {
        MediaPlan {
            tenant: TenantId::from_u128(0),
            local: self.target.local,
            peer: self.target.address.ip(),
            networks: Arc::default(),
            remote: agreed.map(remote),
        }
    }
}

fn remote(agreed: &Agreed) -> Remote {
    let codec = |described| match described {
        callbox_sdp::Codec::Pcmu => Codec::Pcmu,
        callbox_sdp::Codec::Pcma => Codec::Pcma,
    };
    Remote {
        rtp: agreed.rtp,
        rtcp: agreed.rtcp,
        codec: codec(agreed.codec),
        payload_type: agreed.payload,
        accept: agreed.accept.iter().map(|&(payload, spoken)| (payload, codec(spoken))).collect(),
        dtmf_payload_type: agreed.events,
        send: agreed.sends,
        receive: agreed.receives,
    }
}

/// Whom to call, with nothing left to look up.
struct Target {
    uri: String,
    address: SocketAddr,
    local: IpAddr,
}

impl Target {
    fn find(given: &str, tcp: bool) -> Result<Self> {
        let uri = Uri::read(given.as_bytes())?;
        let domain = uri.host.as_ref().ok_or_else(|| anyhow!("`{given}` names no host to call"))?;
        let port = uri.port.unwrap_or(SIP_PORT);
        let address = match domain {
            Host::Address(address) => SocketAddr::new(*address, port),
            Host::Name(name) => (name.as_str(), port)
                .to_socket_addrs()
                .with_context(|| format!("cannot find the host `{name}`"))?
                .next()
                .ok_or_else(|| anyhow!("the host `{name}` has no address"))?,
        };
        let user = uri.plain_user().map(|user| format!("{user}@")).unwrap_or_default();
        let is_tcp = tcp || uri.transport().is_some_and(|transport| transport.eq_ignore_ascii_case("tcp"));
        let transport = if is_tcp { ";transport=tcp" } else { "" };
        let uri = format!("sip:{user}{}:{}{transport}", host(address.ip()), address.port());
        // Nothing is sent by this: the kernel says which of our addresses leads there.
        let any: SocketAddr = if address.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
        let socket = UdpSocket::bind(any).context("cannot open a socket")?;
        socket.connect(address).with_context(|| format!("there is no way to {address}"))?;
        let local = socket.local_addr().context("cannot find our own address")?.ip();
        Ok(Self { uri, address, local })
    }
}

fn host(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// Nobody calls this phone.
struct Closed;

impl callbox_signal::Admission for Closed {
    fn may_talk(&self, _: IpAddr) -> bool {
        true
    }

    fn admit(&self, _: &Offered) -> Result<LegKey, callbox_signal::Refusal> {
        let (status, reason) = (480, "Temporarily Unavailable".to_owned());
        Err(callbox_signal::Refusal::Status { status, reason, retry_after_s: None })
    }

    fn realm(&self, _: &str) -> Option<callbox_signal::Realm> {
        None
    }

    fn verifiers(&self, _: &str, _: &str) -> Option<(UserId, Arc<Verifiers>)> {
        None
    }

    fn registered(&self, _: callbox_signal::Registered) {}

    fn trunk_state(&self, _: TrunkId, _: TrunkState) {}
}

/// Whoever sits at the terminal says where to call.
fn anywhere() -> Egress {
    let open = ["0.0.0.0/0", "::/0"].iter().filter_map(|network| network.parse().ok()).collect();
    Egress { open, ..Egress::default() }
}

/// An asset's name is a path.
struct Files;

impl callbox_media::Assets for Files {
    fn find(&self, _: ApplicationId, name: &str) -> Result<Option<String>, String> {
        Ok(Path::new(name).exists().then(|| name.to_owned()))
    }

    fn read(&self, _: ApplicationId, name: &str) -> Result<Vec<u8>, String> {
        std::fs::read(name).map_err(|error| error.to_string())
    }
}

struct Mute;

impl callbox_media::Voice for Mute {
    fn speak(&self, _: &Speech) -> Result<Vec<i16>, MediaFault> {
        Err(MediaFault::NoVoice("this phone does not speak by itself".to_owned()))
    }
}

const LEG: LegKey = LegKey::new(0, 1);
const NOBODY: ApplicationId = ApplicationId::from_u128(0);
const OWNER: TenantId = TenantId::from_u128(0);
const RECORDING: RecordingId = RecordingId::from_u128(0);
const DIAL: u32 = 1;
const HANG_UP: u32 = 2;
const PLAY: u32 = 1;
const RECORD: u32 = 2;
const SIP_PORT: u16 = 5_060;
/// For our own drivers, and beyond what a ringing phone is given.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// A BYE is repeated for 32 s; a person at a terminal is not kept that long.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);
