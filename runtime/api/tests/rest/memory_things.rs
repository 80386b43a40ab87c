//! The backend over maps: applications, numbers, calls.

use bytes::Bytes;
use callbox_api::async_trait;
use callbox_api::backend::{
    ApplicationFilter, Applications, Audio, BackendError, CallFilter, Calls, NewCall, NewNumber, NumberFilter, Numbers,
    OutboundToday, Page, PlacedEvent, RecordingFilter, Result, Scope, UsageBy, UsageFilter,
};
use callbox_model::{
    Application, ApplicationId, ApplicationSpec, Asset, CallId, CallRecord, CallStatus, Message, Number, NumberId,
    Recording, RecordingId, Run, RunUsage, Subject, TenantId, UsageRow,
};

use crate::memory::{Memory, State, piece, piece_back};

impl State {
    fn has_trunk(&self, tenant: TenantId, spec: &ApplicationSpec) -> Result<()> {
        let named = spec.outbound.trunk.as_ref();
        let is_there = |name: &String| self.trunks.values().any(|it| it.tenant == tenant && it.name == *name);
        match named.filter(|name| !is_there(name)) {
            None => Ok(()),
            Some(name) => Err(BackendError::invalid("outbound.trunk", format!("there is no trunk `{name}`"))),
        }
    }
}

#[async_trait]
impl Applications for Memory {
    async fn applications(
        &self,
        scope: Scope,
        filter: ApplicationFilter,
        page: Page<ApplicationId>,
    ) -> Result<Vec<Application>> {
        let state = self.state();
        let fits = |application: &Application| {
            scope.admits(application.tenant) && filter.name.as_ref().is_none_or(|name| *name == application.name)
        };
        let fitting = state.applications.values().filter(|application| fits(application));
        Ok(piece(fitting.map(|application| (application.id, application.clone())), &page))
    }

    async fn application(&self, scope: Scope, id: ApplicationId) -> Result<Application> {
        let state = self.state();
        let application = state.applications.get(&id).filter(|application| scope.admits(application.tenant)).cloned();
        let mut application = application.ok_or_else(|| BackendError::not_found("application", id))?;
        application.secrets =
            state.secrets.keys().filter(|(owner, _)| *owner == id).map(|(_, name)| name.clone()).collect();
        Ok(application)
    }

    async fn create_application(&self, tenant: TenantId, name: String, spec: ApplicationSpec) -> Result<Application> {
        let created = self.now();
        let mut state = self.state();
        if state.applications.values().any(|other| other.tenant == tenant && other.name == name) {
            return Err(BackendError::conflict("name-taken", format!("there is an application `{name}`")));
        }
        state.has_trunk(tenant, &spec)?;
        let id = ApplicationId::new(&self.ids, created);
        let application = Application { id, tenant, name, spec, secrets: Vec::new(), revision: 1, created };
        state.applications.insert(id, application.clone());
        Ok(application)
    }

    async fn change_application(
        &self,
        scope: Scope,
        id: ApplicationId,
        revision: Option<u64>,
        name: String,
        spec: ApplicationSpec,
    ) -> Result<Application> {
        let tenant = self.application(scope, id).await?.tenant;
        let mut state = self.state();
        state.has_trunk(tenant, &spec)?;
        let application = state.applications.get_mut(&id).filter(|application| scope.admits(application.tenant));
        let application = application.ok_or_else(|| BackendError::not_found("application", id))?;
        if revision.is_some_and(|revision| revision != application.revision) {
            return Err(BackendError::RevisionMismatch { current: application.revision });
        }
        application.revision += 1;
        application.name = name;
        application.spec = spec;
        Ok(application.clone())
    }

    async fn delete_application(&self, scope: Scope, id: ApplicationId) -> Result<()> {
        self.application(scope, id).await?;
        let mut state = self.state();
        if let Some(number) = state.numbers.values().find(|number| number.application == Some(id)) {
            let detail = format!("the number `{}` leads to `{id}`", number.id);
            return Err(BackendError::conflict("application-in-use", detail));
        }
        state.applications.remove(&id);
        Ok(())
    }

    async fn put_secret(&self, scope: Scope, application: ApplicationId, name: String, value: String) -> Result<()> {
        self.application(scope, application).await?;
        self.state().secrets.insert((application, name), value);
        Ok(())
    }

    async fn delete_secret(&self, scope: Scope, application: ApplicationId, name: String) -> Result<()> {
        self.application(scope, application).await?;
        let removed = self.state().secrets.remove(&(application, name.clone()));
        removed.map(drop).ok_or_else(|| BackendError::not_found("secret", name))
    }

    async fn assets(&self, scope: Scope, application: ApplicationId, page: Page<String>) -> Result<Vec<Asset>> {
        self.application(scope, application).await?;
        let state = self.state();
        let own = state.assets.iter().filter(|((owner, _), _)| *owner == application);
        Ok(piece(own.map(|((_, name), (asset, _))| (name.clone(), asset.clone())), &page))
    }

    async fn asset(&self, scope: Scope, application: ApplicationId, name: String) -> Result<Asset> {
        self.application(scope, application).await?;
        let asset = self.state().assets.get(&(application, name.clone())).map(|(asset, _)| asset.clone());
        asset.ok_or_else(|| BackendError::not_found("asset", name))
    }

    async fn asset_audio(&self, scope: Scope, application: ApplicationId, name: String) -> Result<Audio> {
        self.asset(scope, application, name.clone()).await?;
        let state = self.state();
        let (_, bytes) = &state.assets[&(application, name)];
        Ok(Audio::Bytes(bytes.clone()))
    }

    async fn put_asset(&self, scope: Scope, application: ApplicationId, name: String, wav: Bytes) -> Result<Asset> {
        self.application(scope, application).await?;
        if !wav.starts_with(b"RIFF") {
            return Err(BackendError::invalid("body", "is no WAV file: it does not begin with RIFF"));
        }
        let created = self.now();
        let digest = "sha256:0".to_owned();
        let asset = Asset { application, name: name.clone(), bytes: wav.len() as u64, digest, created };
        self.state().assets.insert((application, name), (asset.clone(), wav));
        Ok(asset)
    }

    async fn delete_asset(&self, scope: Scope, application: ApplicationId, name: String) -> Result<()> {
        self.asset(scope, application, name.clone()).await?;
        self.state().assets.remove(&(application, name));
        Ok(())
    }
}

#[async_trait]
impl Numbers for Memory {
    async fn numbers(&self, scope: Scope, filter: NumberFilter, page: Page<NumberId>) -> Result<Vec<Number>> {
        let state = self.state();
        let fits = |number: &Number| {
            scope.admits(number.tenant)
                && filter.address.as_ref().is_none_or(|address| *address == number.address)
                && filter.application.is_none_or(|application| number.application == Some(application))
        };
        let fitting = state.numbers.values().filter(|number| fits(number));
        Ok(piece(fitting.map(|number| (number.id, number.clone())), &page))
    }

    async fn number(&self, scope: Scope, id: NumberId) -> Result<Number> {
        let state = self.state();
        let number = state.numbers.get(&id).filter(|number| scope.admits(number.tenant)).cloned();
        number.ok_or_else(|| BackendError::not_found("number", id))
    }

    async fn create_number(&self, tenant: TenantId, new: NewNumber) -> Result<Number> {
        let created = self.now();
        let NewNumber { address, application, anonymous } = new;
        let mut state = self.state();
        if state.numbers.values().any(|number| number.address == address) {
            return Err(BackendError::conflict("address-taken", format!("`{address}` is given out")));
        }
        let id = NumberId::new(&self.ids, created);
        let number = Number { id, tenant, address, application, anonymous, created };
        state.numbers.insert(number.id, number.clone());
        Ok(number)
    }

    async fn bind_number(&self, scope: Scope, id: NumberId, application: Option<ApplicationId>) -> Result<Number> {
        let tenant = self.number(scope, id).await?.tenant;
        let mut state = self.state();
        if let Some(application) = application
            && state.applications.get(&application).is_none_or(|application| application.tenant != tenant)
        {
            return Err(BackendError::invalid("application", format!("there is no application `{application}`")));
        }
        let number = state.numbers.get_mut(&id).ok_or_else(|| BackendError::not_found("number", id))?;
        number.application = application;
        Ok(number.clone())
    }

    async fn change_number(&self, scope: Scope, id: NumberId, anonymous: bool) -> Result<Number> {
        let number = Number { anonymous, ..self.number(scope, id).await? };
        self.state().numbers.insert(id, number.clone());
        Ok(number)
    }

    async fn delete_number(&self, scope: Scope, id: NumberId) -> Result<()> {
        self.number(scope, id).await?;
        self.state().numbers.remove(&id);
        Ok(())
    }
}

#[async_trait]
impl Calls for Memory {
    async fn calls(&self, scope: Scope, filter: CallFilter, page: Page<CallId>) -> Result<Vec<CallRecord>> {
        let state = self.state();
        let fits = |call: &CallRecord| {
            scope.admits(call.tenant)
                && filter.application.is_none_or(|application| application == call.application)
                && filter.number.as_ref().is_none_or(|number| *number == call.number)
                && filter.status.is_none_or(|status| status == call.status)
                && filter.since.is_none_or(|since| call.started >= since)
                && filter.until.is_none_or(|until| call.started < until)
        };
        Ok(piece_back(state.calls.values().filter(|call| fits(call)).map(|call| (call.id, call.clone())), &page))
    }

    async fn call(&self, scope: Scope, id: CallId) -> Result<CallRecord> {
        let state = self.state();
        let call = state.calls.get(&id).filter(|call| scope.admits(call.tenant)).cloned();
        call.ok_or_else(|| BackendError::not_found("call", id))
    }

    async fn call_events(&self, scope: Scope, id: CallId, page: Page<u64>) -> Result<Vec<PlacedEvent>> {
        self.call(scope, id).await?;
        let state = self.state();
        let own = state.events.iter().filter(|placed| placed.event.subject == Subject::Call(id));
        Ok(piece(own.map(|placed| (placed.event.sequence, placed.clone())), &page))
    }

    async fn call_runs(&self, scope: Scope, id: CallId) -> Result<Vec<Run>> {
        self.call(scope, id).await?;
        Ok(self.state().runs.iter().filter(|run| run.call == id).cloned().collect())
    }

    async fn place(&self, scope: Scope, call: NewCall) -> Result<CallId> {
        self.placed(scope, call)
    }

    async fn outbound(&self, _: TenantId) -> Result<OutboundToday> {
        Ok(self.outbound_today())
    }

    async fn hang_up(&self, scope: Scope, id: CallId) -> Result<()> {
        if self.call(scope, id).await?.status != CallStatus::InProgress {
            return Err(BackendError::conflict("call-over", format!("the call `{id}` has ended")));
        }
        if let Some(call) = self.state().calls.get_mut(&id) {
            call.status = CallStatus::Completed;
        }
        Ok(())
    }

    async fn send_message(&self, scope: Scope, id: CallId, message: Message) -> Result<()> {
        if self.call(scope, id).await?.status != CallStatus::InProgress {
            return Err(BackendError::conflict("call-over", format!("the call `{id}` has ended")));
        }
        self.state().messages.push((id, message));
        Ok(())
    }

    async fn recordings(
        &self,
        scope: Scope,
        filter: RecordingFilter,
        page: Page<RecordingId>,
    ) -> Result<Vec<Recording>> {
        let state = self.state();
        let all = state.recordings.values().map(|(recording, _)| recording);
        let fitting = all.filter(|recording| {
            scope.admits(recording.tenant) && filter.call.is_none_or(|call| call == recording.call)
        });
        Ok(piece_back(fitting.map(|recording| (recording.id, recording.clone())), &page))
    }

    async fn recording(&self, scope: Scope, id: RecordingId) -> Result<Recording> {
        let state = self.state();
        let recording = state.recordings.get(&id).map(|(recording, _)| recording);
        let recording = recording.filter(|recording| scope.admits(recording.tenant)).cloned();
        recording.ok_or_else(|| BackendError::not_found("recording", id))
    }

    async fn recording_audio(&self, scope: Scope, id: RecordingId) -> Result<Audio> {
        if self.recording(scope, id).await?.length_ms.is_none() {
            return Err(BackendError::conflict("recording-running", format!("the recording `{id}` still runs")));
        }
        let path = self.state().recordings.get(&id).and_then(|(_, path)| path.clone());
        path.map(Audio::File).ok_or_else(|| BackendError::not_found("file of the recording", id))
    }

    async fn usage(&self, scope: Scope, filter: UsageFilter) -> Result<Vec<UsageRow>> {
        let state = self.state();
        let fits = |run: &&Run| {
            scope.admits(run.tenant)
                && filter.application.is_none_or(|application| application == run.application)
                && filter.module.as_ref().is_none_or(|module| *module == run.module_name)
                && filter.since.is_none_or(|since| run.began >= since)
                && filter.until.is_none_or(|until| run.began < until)
        };
        let mut rows: Vec<UsageRow> = Vec::new();
        for run in state.runs.iter().filter(fits) {
            let is_fine = filter.by == UsageBy::Module;
            let application = (filter.by != UsageBy::Tenant).then_some(run.application);
            let name = is_fine.then(|| run.module_name.clone());
            let place = rows
                .iter()
                .position(|row| (row.tenant, row.application, &row.module_name) == (run.tenant, application, &name));
            let row = match place {
                Some(place) => &mut rows[place],
                None => {
                    rows.push(UsageRow {
                        tenant: run.tenant,
                        application,
                        module: run.module.filter(|_| is_fine),
                        module_name: name,
                        module_version: is_fine.then_some(run.module_version),
                        calls: 1,
                        runs: 0,
                        faults: 0,
                        usage: RunUsage::default(),
                    });
                    rows.last_mut().unwrap()
                }
            };
            row.runs += 1;
            row.usage.cpu_ns += run.usage.cpu_ns;
        }
        rows.sort_by_key(|row| std::cmp::Reverse(row.usage.cpu_ns));
        Ok(rows)
    }
}
