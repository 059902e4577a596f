//! The request while it is put together: which vendors are spoken for, and what the policy says to each source.
//!
//! Knows precedence; knows no source and no grammar.

use std::cell::OnceCell;
use std::collections::BTreeSet;

use crate::cdi::{Kind, QualifiedName};
use crate::config::Policy;
use crate::error::{Error, Result};
use crate::oci::view::{HookView, View};
use crate::vendor::{NoneMeans, Vendor, Vendors};

use super::policy::Rules;
use super::visible::List;
use super::{Ask, Lease, Options, Refusal, Request, Selection, Source, Want};

/// How many refusals of one rule are listed. A container can have any number of annotations.
const MOST_REFUSALS: usize = 8;

/// A request in the making.
#[derive(Debug)]
pub(super) struct Gathering<'a> {
    /// What config.json says.
    pub view: &'a View<'a>,
    /// Who may ask.
    pub policy: &'a Policy,
    /// Who may be asked.
    pub vendors: Vendors,
    /// The rules, once a source asks.
    rules: OnceCell<Rules<'a>>,
    request: Request,
    /// Companions that variables name.
    companions: Vec<Ask>,
    /// Vendors whose own variable is set: no other variable speaks for them.
    claimed: Vec<&'static Vendor>,
    /// Vendors that a higher rank speaks for.
    answered: Vec<&'static Vendor>,
    /// Vendors that the current rank speaks for.
    speaking: Vec<&'static Vendor>,
}

/// What one source says, before anyone has judged it.
#[derive(Debug)]
pub(super) struct Wish {
    /// Who says it.
    pub source: Source,
    /// The vendors it speaks for, in order: lower sources have no say about these.
    pub vendors: Vec<&'static Vendor>,
    /// Vendors that may answer in place of those, considered after them.
    pub stand_ins: Vec<&'static Vendor>,
    /// What it lists, or why that makes no sense.
    pub list: std::result::Result<List, String>,
}

impl<'a> Gathering<'a> {
    pub(super) fn new(view: &'a View<'a>, policy: &'a Policy, vendors: Vendors) -> Self {
        Gathering {
            view,
            policy,
            vendors,
            rules: OnceCell::new(),
            request: Request::default(),
            companions: Vec::new(),
            claimed: Vec::new(),
            answered: Vec::new(),
            speaking: Vec::new(),
        }
    }

    /// Takes a wish in. Answers whether anything was asked, granted or not.
    pub(super) fn ask(&mut self, wish: Wish) -> Result<bool> {
        let Wish { source, vendors, stand_ins, mut list } = wish;
        if let Ok(list) = &mut list {
            let driver_alone = vendors.iter().all(|vendor| vendor.none == NoneMeans::DriverOnly);
            list.selection.take_if(|selection| *selection == Selection::DriverOnly && !driver_alone);
            if list.is_empty() {
                return Ok(false);
            }
            let is_answered = |kind: &Kind| {
                self.has_answered_kind(kind) || is_set(&source) && self.has_variable_beside(kind, &vendors)
            };
            list.names.retain(|name| !is_answered(name.kind()));
        }
        let is_moot = !vendors.is_empty() && vendors.iter().all(|vendor| self.has_answered(vendor));
        match &mut list {
            Ok(list) if is_moot => list.selection = None,
            Err(_) if is_moot => return Ok(true),
            _ => {}
        }
        let names_devices = matches!(&list, Ok(list) if list.names_devices());
        if matches!(&list, Ok(list) if list.is_empty()) || !self.may_ask(&source, names_devices)? {
            return Ok(true);
        }
        let mut list = list.map_err(|message| Error::Request { source: source.to_string(), message })?;
        if list.options.lease == Lease::Exclusive
            && let Err(message) = self.rules().may_lease(&source)
        {
            // A lease that is not one would be another request than the one that was made.
            return Err(Error::Refused { source: source.to_string(), message });
        }
        let is_manager = |name: &QualifiedName| self.vendors.is_management(name.kind());
        let would_manage = list.names.iter().any(is_manager) || vendors.iter().any(|vendor| vendor.is_management());
        if would_manage && let Err(rule) = self.rules().may_manage() {
            list.names.retain(|name| !is_manager(name));
            list.selection.take_if(|_| vendors.iter().any(|vendor| vendor.is_management()));
            self.refuse(&source, names_devices, rule)?;
        }
        let options = list.options;
        if !list.names.is_empty() {
            self.ask_for_names(&source, &list.names, &options);
        }
        if let Some(selection) = list.selection {
            self.speak_for(&vendors);
            let beside = vendors.first().and_then(|vendor| vendor.beside).filter(|_| is_set(&source));
            let is_answered = |vendor: &&'static Vendor| {
                self.has_answered(vendor) || self.claimed.contains(vendor) && !vendors.contains(vendor)
            };
            let all = [vendors.as_slice(), &stand_ins].concat();
            let answered = all.iter().copied().filter(is_answered).collect();
            let selection = match all.as_slice() {
                [vendor] => selection.spelt_by(vendor),
                _ => selection,
            };
            let want = Want::Devices { vendors: all, answered, selection };
            self.request.asks.push(Ask { source, want, options, beside });
        }
        Ok(true)
    }

    /// Asks for `names`, of which there are some. Companions that a variable names wait for the devices that they belong to.
    fn ask_for_names(&mut self, source: &Source, names: &[QualifiedName], options: &Options) {
        let vendors = self.vendors;
        let vendor = |name: &QualifiedName| vendors.by_kind(name.kind());
        self.speak_for(&names.iter().filter_map(vendor).collect::<Vec<_>>());
        let beside = |name: &QualifiedName| vendor(name).and_then(|vendor| vendor.beside).filter(|_| is_set(source));
        let mut owners: Vec<Option<&'static Vendor>> = names.iter().map(beside).collect();
        owners.sort_unstable_by_key(|owner| owner.map(|owner| owner.name));
        owners.dedup();
        for owner in owners {
            let names = names.iter().filter(|name| beside(name) == owner).cloned().collect();
            let (source, options) = (source.clone(), options.clone());
            let ask = Ask { source, want: Want::Names(names), options, beside: owner };
            let asks = if owner.is_some() { &mut self.companions } else { &mut self.request.asks };
            asks.push(ask);
        }
    }

    /// Whether the policy lets `source` ask; `names_devices` says whether it asks for some and no others. A refusal is noted, or
    /// is the error that the policy calls it.
    pub(super) fn may_ask(&mut self, source: &Source, names_devices: bool) -> Result<bool> {
        match self.rules().may_ask(source) {
            Ok(()) => Ok(true),
            Err(rule) => self.refuse(source, names_devices, rule).map(|()| false),
        }
    }

    fn rules(&self) -> &Rules<'a> {
        self.rules.get_or_init(|| Rules::of(self.view, self.policy))
    }

    fn refuse(&mut self, source: &Source, names_devices: bool, rule: String) -> Result<()> {
        if self.rules().is_fatal(source, names_devices) {
            return Err(Error::Refused { source: source.to_string(), message: rule });
        }
        let refusals = &mut self.request.refusals;
        if refusals.last().is_some_and(|last| last.source == *source && last.rule == rule) {
            return Ok(());
        }
        let listed = refusals.iter().filter(|refusal| refusal.rule == rule).count();
        match refusals.iter_mut().rfind(|refusal| refusal.rule == rule) {
            Some(last) if listed >= MOST_REFUSALS => last.more += 1,
            _ => refusals.push(Refusal { source: source.clone(), rule, more: 0 }),
        }
        Ok(())
    }

    /// Takes the say about `vendors` from lower ranks.
    pub(super) fn speak_for(&mut self, vendors: &[&'static Vendor]) {
        for vendor in vendors {
            if !self.speaking.contains(vendor) {
                self.speaking.push(vendor);
            }
        }
    }

    /// Has the own variables of `vendors`, which are set, answer for them: other variables do not add to what they say.
    pub(super) fn claim(&mut self, vendors: Vec<&'static Vendor>) {
        self.claimed = vendors;
    }

    /// Whether a variable of its own is set for the vendor of this kind, which is none of `vendors`.
    fn has_variable_beside(&self, kind: &Kind, vendors: &[&'static Vendor]) -> bool {
        let vendor = self.vendors.by_kind(kind);
        vendor.is_some_and(|vendor| self.claimed.contains(&vendor) && !vendors.contains(&vendor))
    }

    /// Whether something asks for a device of `vendor`.
    pub(super) fn has_asked_for(&self, vendor: &'static Vendor) -> bool {
        self.request.asks.iter().any(|ask| match &ask.want {
            Want::Names(names) => names.iter().any(|name| self.vendors.by_kind(name.kind()) == Some(vendor)),
            Want::Devices { vendors, answered, selection } => {
                *selection != Selection::DriverOnly && vendors.contains(&vendor) && !answered.contains(&vendor)
            }
        })
    }

    /// Whether a higher rank speaks for this vendor.
    pub(super) fn has_answered(&self, vendor: &'static Vendor) -> bool {
        self.answered.contains(&vendor)
    }

    /// Whether a higher rank speaks for the vendor of this kind; for one that has no row, whether it speaks for every vendor.
    fn has_answered_kind(&self, kind: &Kind) -> bool {
        match self.vendors.by_kind(kind) {
            Some(vendor) => self.has_answered(vendor),
            None => self.vendors.accelerators().into_iter().all(|vendor| self.has_answered(vendor)),
        }
    }

    /// Has a hook taken out of config.json.
    pub(super) fn replace_hook(&mut self, hook: &HookView<'_>) {
        self.request.replaced_hooks.push((hook.stage.to_string(), hook.index));
    }

    /// Ends a rank: the vendors that it speaks for are answered.
    pub(super) fn close_rank(&mut self) {
        for vendor in std::mem::take(&mut self.speaking) {
            if !self.has_answered(vendor) {
                self.answered.push(vendor);
            }
        }
    }

    /// The request, if there is anything in it.
    pub(super) fn into_request(mut self) -> Option<Request> {
        let companions = std::mem::take(&mut self.companions).into_iter();
        let is_of_some = |ask: &Ask| ask.beside.is_some_and(|owner| self.has_asked_for(owner));
        let companions: Vec<Ask> = companions.filter(is_of_some).collect();
        self.request.asks.extend(companions);
        (self.request != Request::default()).then_some(self.request)
    }
}

/// Whether `source` is a variable, or a hook that reads one: an image can set it.
fn is_set(source: &Source) -> bool {
    matches!(source, Source::Env(..) | Source::LegacyHook(_))
}

impl Selection {
    /// The same selection in the vendor's canonical spelling, every device once.
    fn spelt_by(self, vendor: &Vendor) -> Self {
        let Selection::Ids(ids) = self else { return self };
        let mut seen = BTreeSet::new();
        let ids = ids.iter().map(|id| (vendor.canonical)(id).into_owned());
        Selection::Ids(ids.filter(|id| seen.insert(id.clone())).collect())
    }
}
