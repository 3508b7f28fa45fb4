//! A policy held against an app. Pure.
//!
//! Every field of an app is named here, without `..`: a key that is new in the manifest does not compile
//! until somebody has decided whether the policy bounds it.

use std::{fmt, time::Duration};

use bytesize::ByteSize;

use super::{Beyond, Policy, Rules, Time};
use crate::{
    cluster::Role,
    log::printable,
    manifest::{App, Capabilities, Component, Folder, Limits, Worker},
    sys::limits::machine_memory,
};

impl Policy {
    /// What the app asks for and may not have; nothing where all is well.
    #[must_use]
    pub fn beyond(&self, app: &App) -> Vec<Beyond> {
        let mut look = Look { policy: self, app: &app.name, beyond: vec![] };
        let App {
            // Which rules there are hangs on it.
            name: _,
            // For people.
            version: _,
            // Where it lies: in the store.
            manifest: _,
            folder: _,
            worker,
            agent,
            schedules,
            limits,
            // No bundle has it.
            dev_with: _,
            // Takes time of its own deploy alone.
            deploy: _,
            // Run by who calls `hatchery test`, as that user.
            test: _,
        } = app;
        if let Some(worker) = worker {
            look.worker(worker);
        }
        look.limits(limits, app);
        let components = agent.as_ref().map(|agent| (Role::Agent, &agent.component));
        let components = components.into_iter().chain(worker.as_ref().map(|w| (Role::Worker, &w.component)));
        for (role, component) in components {
            look.component(role, component);
        }
        // What they say is the guest's affair, which could do the same from its agent.
        look.most("schedule", schedules.len() as u64, |rules| rules.schedules, |n| format!("{n} schedules"));
        look.beyond
    }
}

impl fmt::Display for Beyond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (it allows {})", self.asked, self.allowed)
    }
}

/// What was found so far.
struct Look<'a> {
    policy: &'a Policy,
    app: &'a str,
    beyond: Vec<Beyond>,
}

impl<'a> Look<'a> {
    fn rule<T>(&self, of: impl Fn(&'a Rules) -> Option<T>) -> Option<T> {
        self.policy.rule(self.app, of)
    }

    fn say(&mut self, key: impl Into<String>, asked: String, allowed: String) {
        self.beyond.push(Beyond { key: key.into(), asked, allowed });
    }

    fn worker(&mut self, worker: &Worker) {
        let Worker {
            component: _, // with the agent's
            listen,
            workers,
            // How its own processes share its own connections and memory, which are bounded.
            balance: _,
            instance: _,
            concurrency,
            queued_requests,
            connections,
            // Of its own processes, whose start is slowed down after failures only: but each is one at a time.
            recycle: _,
        } = worker;
        if let Some(most) = self.rule(|rules| rules.workers)
            && *workers > most
        {
            self.say("worker.workers", format!("{workers} workers"), most.to_string());
        }
        if let Some(places) = self.rule(|rules| rules.listen.as_ref())
            && !places.iter().any(|place| place.allows(*listen))
        {
            let allowed = list(places.iter().map(|place| &place.text));
            self.say("worker.listen", format!("to listen on {listen}"), allowed);
        }
        let set = |key: &'static str| move |n: u64| format!("{key} = {n}");
        let of = |rules: &Rules| rules.concurrency;
        self.most("worker.concurrency", concurrency.get() as u64, of, set("concurrency"));
        let of = |rules: &Rules| rules.queued_requests;
        self.most("worker.queued-requests", *queued_requests as u64, of, set("queued-requests"));
        let of = |rules: &Rules| rules.connections;
        self.most("worker.connections", connections.get() as u64, of, set("connections"));
    }

    fn component(&mut self, role: Role, component: &Component) {
        let Component {
            // Compiled within `compile-time`.
            file: _,
            // No bundle has it.
            build: _,
            capabilities,
        } = component;
        let Capabilities { environment, allowed_outbound_hosts, folders, secrets } = capabilities;
        if let Some(names) = self.rule(|rules| rules.environment.as_ref()) {
            for name in environment.keys().filter(|name| !names.allow(name)) {
                let asked = format!("the environment variable {} of the {role}", printable(name));
                self.say(format!("{role}.environment"), asked, list(names.patterns().iter()));
            }
        }
        if let Some(names) = self.rule(|rules| rules.secrets.as_ref()) {
            for name in secrets.iter().filter(|name| !names.allow(name)) {
                let asked = format!("the secret {name} for the {role}");
                self.say(format!("{role}.secrets"), asked, list(names.patterns().iter()));
            }
        }
        let hosts = self.rule(|rules| rules.outbound_hosts.as_ref());
        let private = self.rule(|rules| rules.outbound_private).unwrap_or(true);
        for wanted in allowed_outbound_hosts {
            let asked = || format!("requests of the {role} to {wanted}");
            let key = || format!("{role}.allowed-outbound-hosts");
            if let Some(hosts) = hosts.filter(|hosts| !hosts.iter().any(|host| host.covers(wanted))) {
                self.say(key(), asked(), list(hosts.iter()));
            } else if !private && wanted.names_special() {
                self.say(key(), asked(), "no host such as localhost or a private address".to_owned());
            }
        }
        for folder in folders {
            // The source is the bundle's own or, where it is writable, the app's own below the home: a
            // manifest can't name another one.
            let Folder { source: _, destination, writable } = folder;
            if *writable && self.rule(|rules| rules.writable_folders) == Some(false) {
                let asked = format!("the {role} to write to the folder {}", printable(destination));
                self.say(format!("{role}.folders"), asked, "none".to_owned());
            }
        }
    }

    fn limits(&mut self, limits: &Limits, app: &App) {
        let Limits {
            memory,
            process_memory: _, // with its default, which hangs on the role
            request_timeout,
            cpu_limit,
            start_timeout,
            stop_timeout,
            hang_timeout,
            message_size,
            queue_size,
            drain_timeout,
            trap_limit,
            header_size,
            body_size,
            header_timeout,
            body_timeout,
            write_timeout,
            app_memory,
            message_rate,
            log_rate,
            open_files: _, // the same
            disk,
            compile_time,
            cpu_weight,
            outbound_connections,
            outbound_size,
            cpus,
        } = *limits;
        if let Some(most) = self.rule(|rules| rules.memory)
            && memory as u64 > most.0
        {
            self.say("limits.memory", format!("{} of memory", ByteSize(memory as u64)), most.to_string());
        }
        let roles = [(Role::Agent, app.agent.is_some()), (Role::Worker, app.worker.is_some())];
        for role in roles.into_iter().filter_map(|(role, there)| there.then_some(role)) {
            if let Some(most) = self.rule(|rules| rules.process_memory) {
                let asked = app.process_memory(role, machine_memory());
                if asked > most.0 {
                    let asked = format!("process-memory of {} for the {role}", ByteSize(asked));
                    self.say("limits.process-memory", asked, most.to_string());
                }
            }
            let show = |n: u64| format!("open-files of {n} for the {role}");
            self.most("limits.open-files", app.open_files(role), |rules| rules.open_files, show);
        }
        self.size("app-memory", app_memory, |rules| rules.app_memory);
        self.size("body-size", body_size, |rules| rules.body_size);
        self.size("message-size", Some(message_size as u64), |rules| rules.message_size);
        self.size("queue-size", Some(queue_size as u64), |rules| rules.queue_size);
        self.size("header-size", Some(header_size as u64), |rules| rules.header_size);
        self.size("log-rate", Some(log_rate), |rules| rules.log_rate);
        self.size("disk", Some(disk), |rules| rules.disk);
        self.size("outbound-size", Some(outbound_size), |rules| rules.outbound_size);
        self.time("request-timeout", request_timeout, |rules| rules.request_timeout);
        self.time("cpu-limit", cpu_limit, |rules| rules.cpu_limit);
        self.time("start-timeout", start_timeout, |rules| rules.start_timeout);
        self.time("stop-timeout", stop_timeout, |rules| rules.stop_timeout);
        self.time("hang-timeout", hang_timeout, |rules| rules.hang_timeout);
        self.time("drain-timeout", drain_timeout, |rules| rules.drain_timeout);
        self.time("header-timeout", header_timeout, |rules| rules.header_timeout);
        self.time("body-timeout", body_timeout, |rules| rules.body_timeout);
        self.time("write-timeout", write_timeout, |rules| rules.write_timeout);
        self.time("compile-time", compile_time, |rules| rules.compile_time);
        self.number("trap-limit", trap_limit as u64, |rules| rules.trap_limit);
        self.number("outbound-connections", outbound_connections as u64, |rules| rules.outbound_connections);
        self.number("message-rate", message_rate.into(), |rules| rules.message_rate);
        self.number("cpu-weight", cpu_weight.into(), |rules| rules.cpu_weight);
        self.cpus(cpus);
    }

    fn most(
        &mut self,
        key: &str,
        asked: u64,
        of: impl Fn(&Rules) -> Option<u64>,
        show: impl Fn(u64) -> String,
    ) {
        if let Some(most) = self.rule(of)
            && asked > most
        {
            self.say(key, show(asked), most.to_string());
        }
    }

    fn number(&mut self, key: &str, asked: u64, of: impl Fn(&Rules) -> Option<u64>) {
        self.most(&format!("limits.{key}"), asked, of, |n| format!("{key} = {n}"));
    }

    /// Without a bound of its own it asks for any size.
    fn size(&mut self, key: &str, asked: Option<u64>, of: impl Fn(&Rules) -> Option<ByteSize>) {
        let Some(most) = self.rule(of) else { return };
        if asked.is_none_or(|asked| asked > most.0) {
            let asked = asked.map_or_else(|| "any".to_owned(), |asked| ByteSize(asked).to_string());
            self.say(format!("limits.{key}"), format!("{key} = {asked}"), most.to_string());
        }
    }

    /// In hundredths. Without a bound of its own it asks for all.
    fn cpus(&mut self, asked: Option<u32>) {
        let Some(most) = self.rule(|rules| rules.cpus) else { return };
        let asked = asked.map(|hundredths| f64::from(hundredths) / 100.0);
        if asked.is_none_or(|asked| asked > most) {
            let asked = asked.map_or_else(|| "any".to_owned(), |asked| asked.to_string());
            self.say("limits.cpus", format!("cpus = {asked}"), most.to_string());
        }
    }

    fn time(&mut self, key: &str, asked: Duration, of: impl Fn(&Rules) -> Option<Time>) {
        let Some(Time(most)) = self.rule(of) else { return };
        if asked > most {
            let [asked, most] = [asked, most].map(|time| humantime::format_duration(time).to_string());
            self.say(format!("limits.{key}"), format!("{key} = {asked}"), most);
        }
    }
}

fn list(words: impl Iterator<Item = impl fmt::Display>) -> String {
    let words: Vec<String> = words.map(|word| word.to_string()).collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}
