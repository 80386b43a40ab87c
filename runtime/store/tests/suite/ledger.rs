//! Events, calls, recordings, Runs, and what adds them up.

use callbox_model::{
    ApplicationId, CallId, CallRecord, CallStatus, Change, Direction, EndCause, EndReason, Fault, FaultCode,
    RecordingId, Run, RunEnd, RunId, StepId, Subject, TenantId, UsageRow, Wall,
};
use callbox_store::{CallFilter, Entry, Error, EventFilter, Lost, Note, Page, Scope, Store, UsageBy, UsageFilter};

use super::world::{Script, World, bye, closed};

pub(crate) async fn a_call<S: Store>(world: World<S>) {
    let store = &world.store;
    let mut script = world.script(TenantId::from_u128(1), ApplicationId::from_u128(2));
    let (call, mine) = (script.call, Scope::Tenant(script.tenant));
    assert!(matches!(store.call(mine, call).await, Err(Error::NotFound { what: "call", .. })));
    store.commit(&[script.start()]).await.unwrap();
    let ringing = CallRecord {
        id: call,
        tenant: script.tenant,
        application: script.application,
        direction: Direction::Inbound,
        caller: "sip:100@example.org".to_owned(),
        called: "sip:200@example.org".to_owned(),
        number: "200".to_owned(),
        status: CallStatus::Ringing,
        started: script.started,
        answered: None,
        ended: None,
        cause: None,
        connected_us: 0,
        faults: 0,
    };
    assert_eq!(store.call(mine, call).await.unwrap(), ringing);
    assert!(matches!(store.call(Scope::Tenant(TenantId::from_u128(9)), call).await, Err(Error::NotFound { .. })));

    store.commit(&[script.say(Change::CallRinging { status: 180 })]).await.unwrap();
    assert_eq!(store.call(mine, call).await.unwrap(), ringing);
    store.commit(&[script.say(Change::CallAnswered)]).await.unwrap();
    let answered = CallRecord { status: CallStatus::InProgress, answered: Some(Wall(script.started.0 + 2)), ..ringing };
    assert_eq!(store.call(mine, call).await.unwrap(), answered);
    let fault = Fault::new(FaultCode::OutOfCpu, "looped");
    let fell = script.say(Change::ControlFault { run: RunId::from_u128(1), handler: 0, fault });
    store.commit(std::slice::from_ref(&fell)).await.unwrap();
    store.commit(&[fell]).await.unwrap();
    let end = script.end(true, 9_000_000, 7_000_000);
    store.commit(&[end]).await.unwrap();
    let ended = CallRecord {
        status: CallStatus::Completed,
        ended: Some(Wall(script.started.0 + 9_000_000)),
        cause: Some(bye()),
        connected_us: 7_000_000,
        faults: 1,
        ..answered
    };
    assert_eq!(store.call(mine, call).await.unwrap(), ended);
    assert_eq!(world.is_whole(Subject::Call(call)).await, 5);
}

/// A whole call in one batch, twice, and then its parts again in any order.
pub(crate) async fn replay<S: Store>(world: World<S>) {
    let store = &world.store;
    let mut script = world.script(TenantId::from_u128(1), ApplicationId::from_u128(2));
    let recording = RecordingId::from_u128(5);
    let open = world.run(&script, "menu", 1_000);
    let mut marked = open.clone();
    marked.marked = Wall(open.marked.0 + 10);
    marked.usage.cpu_ns += 10;
    let mut done = closed(marked.clone());
    done.usage.cpu_ns += 10;
    let fault = Fault::new(FaultCode::TrapOther, "fell");
    let batch = vec![
        script.start(),
        Entry::Run(open.clone()),
        script.say(Change::CallAnswered),
        script.say(Change::RecordingStarted { recording, step: 1 }),
        Entry::Run(marked.clone()),
        script.say(Change::ControlFault { run: open.id, handler: 0, fault }),
        script.say(Change::RecordingEnded { recording, length_ms: 20, bytes: 640, failed: None }),
        Entry::Run(done.clone()),
        script.end(true, 1_000, 900),
    ];
    let seen = || async {
        (
            store.call(Scope::Operator, script.call).await.unwrap(),
            store.recordings(Scope::Operator, Some(script.call), Page::first(10)).await.unwrap(),
            store.runs(Scope::Operator, script.call).await.unwrap(),
            world.events(EventFilter::all(Scope::Operator)).await,
        )
    };
    store.commit(&batch).await.unwrap();
    let first = seen().await;
    assert_eq!((first.0.status, first.0.faults, first.1.len(), first.3.len()), (CallStatus::Completed, 1, 1, 6));
    assert_eq!(first.2, [done.clone()]);
    store.commit(&batch).await.unwrap();
    assert_eq!(seen().await, first);
    for entry in batch.iter().rev() {
        store.commit(std::slice::from_ref(entry)).await.unwrap();
        assert_eq!(seen().await, first);
    }
    // A closed Run is never opened again, nor closed otherwise.
    let mut other = done;
    other.marked = Wall(i64::MAX);
    other.end = Some(RunEnd { reason: EndReason::Fault, fault: None });
    store.commit(&[Entry::Run(other)]).await.unwrap();
    assert_eq!(seen().await, first);
}

/// Batches of every size around those that one statement takes.
pub(crate) async fn batches<S: Store>(world: World<S>) {
    let store = &world.store;
    store.commit(&[]).await.unwrap();
    let mut expected = 0;
    for size in [1usize, 7, 8, 9, 63, 64, 65, 255, 256, 257, 600] {
        let mut script = world.script(TenantId::from_u128(1), ApplicationId::from_u128(2));
        let mut batch = vec![script.start()];
        for step in 1..size as StepId {
            batch.push(script.say(Change::StepStarted { step, kind: "play".to_owned(), detail: step.to_string() }));
            batch.push(Entry::Run(world.run(&script, "menu", u64::from(step))));
        }
        store.commit(&batch).await.unwrap();
        expected += size;
        assert_eq!(world.is_whole(Subject::Call(script.call)).await, size);
        assert_eq!(store.runs(Scope::Operator, script.call).await.unwrap().len(), size - 1);
        assert_eq!(*store.position().borrow(), expected as i64);
    }
}

/// Runs and events keep every figure and every character.
pub(crate) async fn fidelity<S: Store>(world: World<S>) {
    let store = &world.store;
    let mut script = world.script(TenantId::from_u128(1), ApplicationId::from_u128(2));
    let mut run = world.run(&script, "menü \"x\"", 5);
    run.module = None;
    run.handler = 3;
    run.usage.parked_us = 11;
    run.usage.memory_byte_seconds = 1 << 50;
    run.end = Some(RunEnd {
        reason: EndReason::Fault,
        fault: Some(Fault::new(FaultCode::ReturnedError, "said: \u{0}'; DROP TABLE runs; --")),
    });
    let strange = "tab\t, nul \u{0}, quote \", emoji \u{1f600}".to_owned();
    let log = script.event(Change::Log { run: run.id, level: "info".to_owned(), message: strange });
    let mut nobodys = script.event(Change::CallRinging { status: 183 });
    nobodys.tenant = None;
    let at = world.now();
    let note =
        Note { subject: Subject::Node, tenant: None, at, change: Change::MessageSent { sender: "x".to_owned() } };
    let batch =
        [Entry::Event(log.clone()), Entry::Event(nobodys.clone()), Entry::Run(run.clone()), Entry::Note(note.clone())];
    store.commit(&batch).await.unwrap();
    store.note(note.clone()).await.unwrap();
    assert_eq!(store.runs(Scope::Operator, script.call).await.unwrap(), [run]);
    let found: Vec<_> =
        world.events(EventFilter::all(Scope::Operator)).await.into_iter().map(|found| found.event).collect();
    assert_eq!(found[..2], [log, nobodys]);
    assert_eq!((found[2].sequence, &found[2].change), (1, &note.change));
    assert_eq!((found[3].sequence, &found[3].change), (2, &note.change));
    assert_eq!(store.last_sequence(Subject::Node).await.unwrap(), 2);
    assert_eq!(store.last_sequence(Subject::Call(CallId::from_u128(1))).await.unwrap(), 0);
}

pub(crate) async fn outbox<S: Store>(world: World<S>) {
    let store = &world.store;
    let mut position = store.position();
    assert_eq!(*position.borrow_and_update(), 0);
    let (one, two) = (TenantId::from_u128(1), TenantId::from_u128(2));
    let mut scripts: Vec<Script> =
        [one, two].into_iter().map(|tenant| world.script(tenant, ApplicationId::from_u128(3))).collect();
    for round in 0..5 {
        for script in &mut scripts {
            let entry = if round == 0 { script.start() } else { script.say(Change::CallRinging { status: 180 }) };
            store.commit(&[entry]).await.unwrap();
        }
    }
    assert!(position.has_changed().unwrap());
    assert_eq!(*position.borrow(), 10);

    let all = store.events(EventFilter::all(Scope::Operator), Page::first(4)).await.unwrap();
    assert_eq!((all.events.len(), all.end), (4, all.events[3].position));
    let rest = store.events(EventFilter::all(Scope::Operator), Page::after(all.end, 100)).await.unwrap();
    assert_eq!((rest.events.len(), rest.end), (6, 10));
    let none = store.events(EventFilter::all(Scope::Operator), Page::after(rest.end, 100)).await.unwrap();
    assert_eq!((none.events.len(), none.end), (0, 10));

    let mine = store.events(EventFilter::all(Scope::Tenant(one)), Page::after(4, 100)).await.unwrap();
    assert_eq!(mine.events.iter().map(|found| found.event.sequence).collect::<Vec<_>>(), [3, 4, 5]);
    // The newest is another's, and still nothing behind it is missed.
    assert_eq!(mine.end, 10);
    let subject = Subject::Call(scripts[1].call);
    let foreign = store.events(EventFilter::of(Scope::Tenant(one), subject), Page::first(100)).await.unwrap();
    assert_eq!(foreign.events.len(), 0);
    let mut started = EventFilter::of(Scope::Tenant(two), subject);
    started.types = vec!["call.started".to_owned(), "call.ended".to_owned()];
    assert_eq!(store.events(started.clone(), Page::first(100)).await.unwrap().events.len(), 1);
    started.subject = None;
    started.scope = Scope::Operator;
    assert_eq!(store.events(started, Page::first(100)).await.unwrap().events.len(), 2);

    let history = store.history(Scope::Tenant(two), subject, Page::after(3, 1)).await.unwrap();
    assert_eq!(history.iter().map(|found| found.event.sequence).collect::<Vec<_>>(), [4]);
    assert_eq!(store.history(Scope::Tenant(one), subject, Page::first(9)).await.unwrap(), []);
}

pub(crate) async fn lists<S: Store>(world: World<S>) {
    let store = &world.store;
    let (one, two) = (TenantId::from_u128(1), TenantId::from_u128(2));
    let (sales, support) = (ApplicationId::from_u128(1), ApplicationId::from_u128(2));
    let mut ids = Vec::new();
    let mut times = Vec::new();
    for number in 0..6u64 {
        world.pass(1_000_000);
        let (tenant, application) =
            (if number == 5 { two } else { one }, if number % 2 == 0 { sales } else { support });
        let mut script = world.script(tenant, application);
        let mut batch = vec![script.start()];
        let recording = RecordingId::new(&world.ids, script.started);
        batch.push(script.say(Change::RecordingStarted { recording, step: 1 }));
        if number < 2 {
            batch.push(script.end(number == 0, 5, 5));
        }
        store.commit(&batch).await.unwrap();
        ids.push(script.call);
        times.push(script.started);
    }
    let list = |filter: CallFilter, page| async move {
        store.calls(filter, page).await.unwrap().into_iter().map(|call| call.id).collect::<Vec<_>>()
    };
    let (mine, all) = (CallFilter::all(Scope::Tenant(one)), CallFilter::all(Scope::Operator));
    assert_eq!(list(all.clone(), Page::first(2)).await, [ids[5], ids[4]]);
    assert_eq!(list(all.clone(), Page::after(ids[4], 2)).await, [ids[3], ids[2]]);
    assert_eq!(list(all.clone(), Page::after(ids[0], 2)).await, []);
    assert_eq!(list(mine.clone(), Page::after(ids[3], 9)).await, [ids[2], ids[1], ids[0]]);
    let of_sales = CallFilter { application: Some(sales), ..mine.clone() };
    assert_eq!(list(of_sales, Page::first(9)).await, [ids[4], ids[2], ids[0]]);
    let ended = CallFilter { status: Some(CallStatus::NotAnswered), ..mine.clone() };
    assert_eq!(list(ended, Page::first(9)).await, [ids[1]]);
    let between = CallFilter { since: Some(times[2]), until: Some(times[4]), ..mine.clone() };
    assert_eq!(list(between, Page::first(9)).await, [ids[3], ids[2]]);
    assert_eq!(list(CallFilter { number: Some("201".to_owned()), ..mine.clone() }, Page::first(9)).await, []);
    assert_eq!(list(CallFilter { number: Some("200".to_owned()), ..all }, Page::first(9)).await.len(), 6);

    let recordings = store.recordings(Scope::Tenant(one), None, Page::first(2)).await.unwrap();
    assert_eq!(recordings.iter().map(|found| found.call).collect::<Vec<_>>(), [ids[4], ids[3]]);
    assert_eq!(recordings[0].length_ms, None);
    let next = store.recordings(Scope::Tenant(one), None, Page::after(recordings[1].id, 9)).await.unwrap();
    assert_eq!(next.len(), 3);
    assert_eq!(store.recording(Scope::Tenant(one), recordings[0].id).await.unwrap(), recordings[0]);
    assert!(matches!(store.recording(Scope::Tenant(two), recordings[0].id).await, Err(Error::NotFound { .. })));
    assert_eq!(store.recordings(Scope::Operator, Some(ids[5]), Page::first(9)).await.unwrap().len(), 1);
    assert_eq!(store.recordings(Scope::Tenant(one), Some(ids[5]), Page::first(9)).await.unwrap(), []);
}

pub(crate) async fn usage<S: Store>(world: World<S>) {
    let store = &world.store;
    let (one, two) = (TenantId::from_u128(1), TenantId::from_u128(2));
    let first = world.script(one, ApplicationId::from_u128(1));
    let second = world.script(one, ApplicationId::from_u128(2));
    let third = world.script(two, ApplicationId::from_u128(3));
    let mut menu = closed(world.run(&first, "menu", 100));
    menu.usage.peak_memory_bytes = 9;
    menu.usage.host_calls = [("media.play".to_owned(), 3)].into();
    let mut fallen = closed(world.run(&first, "menu", 50));
    fallen.end = Some(RunEnd { reason: EndReason::Fault, fault: Some(Fault::new(FaultCode::OutOfCpu, "")) });
    let mut own = closed(world.run(&first, "callbox", 5));
    own.module = None;
    own.usage.host_calls.clear();
    let again = closed(world.run(&second, "menu", 1_000));
    let theirs = closed(world.run(&third, "menu", 7));
    let runs = [&menu, &fallen, &own, &again, &theirs];
    store.commit(&runs.map(|run| Entry::Run(run.clone()))).await.unwrap();

    let ask = |filter| async move { store.usage(filter).await.unwrap() };
    let rows = ask(UsageFilter::all(Scope::Tenant(one), UsageBy::Module)).await;
    let together = UsageRow {
        tenant: one,
        application: Some(first.application),
        module: menu.module,
        module_name: Some("menu".to_owned()),
        module_version: Some(1),
        calls: 1,
        runs: 2,
        faults: 1,
        usage: total(&[&menu, &fallen]),
    };
    // The most CPU time first.
    assert_eq!(rows.iter().map(|row| row.usage.cpu_ns).collect::<Vec<_>>(), [1_000, 150, 5]);
    assert_eq!(rows[1], together);
    assert_eq!((rows[2].module, rows[2].module_name.as_deref()), (None, Some("callbox")));

    let rows = ask(UsageFilter::all(Scope::Operator, UsageBy::Tenant)).await;
    assert_eq!(
        rows.iter().map(|row| (row.tenant, row.calls, row.runs)).collect::<Vec<_>>(),
        [(one, 2, 4), (two, 1, 1)]
    );
    assert_eq!((rows[0].application, rows[0].module, rows[0].module_name.as_deref()), (None, None, None));
    assert_eq!(rows[0].usage, total(&[&menu, &fallen, &own, &again]));
    let rows = ask(UsageFilter::all(Scope::Tenant(one), UsageBy::Application)).await;
    assert_eq!(
        rows.iter().map(|row| (row.application, row.runs)).collect::<Vec<_>>(),
        [(Some(second.application), 1), (Some(first.application), 3)]
    );

    let all = UsageFilter::all(Scope::Operator, UsageBy::Tenant);
    let from = UsageFilter { since: Some(fallen.began), until: Some(again.began), ..all.clone() };
    assert_eq!(ask(from).await[0].usage.cpu_ns, 55);
    let named = UsageFilter { module: Some("menu".to_owned()), application: Some(first.application), ..all };
    assert_eq!(ask(named).await[0].usage.cpu_ns, 150);
    assert_eq!(ask(UsageFilter::all(Scope::Tenant(TenantId::from_u128(9)), UsageBy::Module)).await, []);
}

fn total(runs: &[&Run]) -> callbox_model::RunUsage {
    let mut total = callbox_model::RunUsage::default();
    for usage in runs.iter().map(|run| &run.usage) {
        total.holding_us += usage.holding_us;
        total.parked_us += usage.parked_us;
        total.connected_us += usage.connected_us;
        total.cpu_ns += usage.cpu_ns;
        total.peak_memory_bytes = total.peak_memory_bytes.max(usage.peak_memory_bytes);
        total.memory_byte_seconds += usage.memory_byte_seconds;
        for (name, count) in &usage.host_calls {
            *total.host_calls.entry(name.clone()).or_default() += count;
        }
        total.frames_sent += usage.frames_sent;
        total.frames_received += usage.frames_received;
    }
    total
}

pub(crate) async fn recovery<S: Store>(world: World<S>) {
    let store = &world.store;
    assert_eq!(store.close_lost(world.now()).await.unwrap(), Lost::default());
    let (tenant, application) = (TenantId::from_u128(1), ApplicationId::from_u128(2));
    // One that was over, and stays as it is.
    let mut over = world.script(tenant, application);
    let ended = closed(world.run(&over, "menu", 10));
    store.commit(&[over.start(), Entry::Run(ended.clone()), over.end(true, 10, 5)]).await.unwrap();
    let before = store.call(Scope::Operator, over.call).await.unwrap();
    // One in the middle, with a Run that is over, one that is not, and a recording.
    let mut lost = world.script(tenant, application);
    let (first, second) = (closed(world.run(&lost, "menu", 1_000)), world.run(&lost, "fallback", 500));
    let recording = RecordingId::from_u128(3);
    let batch = [
        lost.start(),
        Entry::Run(first.clone()),
        Entry::Run(second.clone()),
        lost.say(Change::CallAnswered),
        lost.say(Change::RecordingStarted { recording, step: 4 }),
    ];
    store.commit(&batch).await.unwrap();
    // One that was over but for the last figures of its Run.
    let mut late = world.script(tenant, application);
    let open = world.run(&late, "menu", 10);
    let start = late.start();
    let said = late.say(Change::ControlEnded { run: open.id, reason: EndReason::Returned });
    store.commit(&[start, said, late.end(true, 10, 5), Entry::Run(open.clone())]).await.unwrap();
    // One that rang, with nothing marked yet.
    let mut ringing = world.script(tenant, application);
    store.commit(&[ringing.start()]).await.unwrap();

    let now = world.now();
    assert_eq!(store.close_lost(now).await.unwrap(), Lost { calls: 2, runs: 2, recordings: 1 });
    assert_eq!(store.call(Scope::Operator, over.call).await.unwrap(), before);
    let call = store.call(Scope::Operator, lost.call).await.unwrap();
    let cause = EndCause { status: 0, reason: "the node died".to_owned(), remote: false };
    assert_eq!((call.status, call.cause), (CallStatus::NodeLost, Some(cause.clone())));
    // Its Runs add up to it, and nothing is charged beyond what was marked.
    assert_eq!((call.ended, call.connected_us), (Some(Wall(lost.started.0 + 1_500)), 750));
    let runs = store.runs(Scope::Operator, lost.call).await.unwrap();
    let end = Some(RunEnd { reason: EndReason::NodeLost, fault: None });
    assert_eq!(runs, [first, Run { end, ..second.clone() }]);
    let found = store.recording(Scope::Operator, recording).await.unwrap();
    assert!(found.failed.is_some() && found.length_ms == Some(0));

    let history = store.history(Scope::Operator, Subject::Call(lost.call), Page::after(3, 10)).await.unwrap();
    let told: Vec<_> = history.into_iter().map(|found| (found.event.at, found.event.change)).collect();
    let failed = Some("the node died".to_owned());
    assert_eq!(
        told,
        [
            (now, Change::RecordingEnded { recording, length_ms: 0, bytes: 0, failed }),
            (now, Change::ControlEnded { run: second.id, reason: EndReason::NodeLost }),
            (now, Change::CallEnded { cause, answered: true, duration_us: 1_500, connected_us: 750 }),
        ]
    );
    assert_eq!(world.is_whole(Subject::Call(late.call)).await, 3);
    assert_eq!(world.is_whole(Subject::Call(ringing.call)).await, 2);
    let rang = store.call(Scope::Operator, ringing.call).await.unwrap();
    assert_eq!((rang.status, rang.ended), (CallStatus::NodeLost, Some(ringing.started)));

    let position = *store.position().borrow();
    assert_eq!(store.close_lost(world.now()).await.unwrap(), Lost::default());
    assert_eq!(*store.position().borrow(), position);
}
