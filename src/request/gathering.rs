//! The request while it is put together: which vendors are spoken for, and what the policy says to each source.
//!
//! Knows precedence; knows no source and no grammar.

use std::collections::BTreeSet;

use crate::cdi::{Kind, QualifiedName};
use crate::config::Policy;
use crate::error::{Error, Result};
use crate::oci::view::{HookView, View};
use crate::vendor::{NoneMeans, Role, Vendor, Vendors};

use super::policy::Rules;
use super::visible::List;
use super::{Ask, Refusal, Request, Selection, Source, Want};

/// A request in the making.
#[derive(Debug)]
pub(super) struct Gathering<'a> {
    /// What config.json says.
    pub view: &'a View<'a>,
    /// Who may ask.
    pub policy: &'a Policy,
    /// Who may be asked.
    pub vendors: Vendors,
    request: Request,
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
        Gathering { view, policy, vendors, request: Request::default(), answered: Vec::new(), speaking: Vec::new() }
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
            list.names.retain(|name| !self.has_answered_kind(name.kind()));
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
        let manages = |vendor: &Vendor| vendor.role == Role::Management;
        let is_manager = |name: &QualifiedName| self.vendors.by_kind(name.kind()).is_some_and(manages);
        let would_manage = list.names.iter().any(is_manager) || vendors.iter().any(|vendor| manages(vendor));
        if would_manage && let Err(rule) = self.rules().may_manage() {
            list.names.retain(|name| !is_manager(name));
            list.selection.take_if(|_| vendors.iter().any(|vendor| manages(vendor)));
            self.refuse(&source, names_devices, rule)?;
        }
        if !list.names.is_empty() {
            let named: Vec<_> = list.names.iter().filter_map(|name| self.vendors.by_kind(name.kind())).collect();
            self.speak_for(&named);
            self.request.asks.push(Ask { source: source.clone(), want: Want::Names(list.names) });
        }
        if let Some(selection) = list.selection {
            self.speak_for(&vendors);
            let vendors = [vendors, stand_ins].concat();
            let answered = vendors.iter().copied().filter(|vendor| self.has_answered(vendor)).collect();
            let selection = match vendors.as_slice() {
                [vendor] => selection.spelt_by(vendor),
                _ => selection,
            };
            self.request.asks.push(Ask { source, want: Want::Devices { vendors, answered, selection } });
        }
        Ok(true)
    }

    /// Whether the policy lets `source` ask; `names_devices` says whether it asks for some and no others. A refusal is noted, or
    /// is the error that the policy calls it.
    pub(super) fn may_ask(&mut self, source: &Source, names_devices: bool) -> Result<bool> {
        match self.rules().may_ask(source) {
            Ok(()) => Ok(true),
            Err(rule) => self.refuse(source, names_devices, rule).map(|()| false),
        }
    }

    fn rules(&self) -> Rules<'a> {
        Rules::of(self.view, self.policy)
    }

    fn refuse(&mut self, source: &Source, names_devices: bool, rule: String) -> Result<()> {
        if self.rules().is_fatal(source, names_devices) {
            return Err(Error::Refused { source: source.to_string(), message: rule });
        }
        let refusal = Refusal { source: source.clone(), rule };
        if self.request.refusals.last() != Some(&refusal) {
            self.request.refusals.push(refusal);
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
    pub(super) fn into_request(self) -> Option<Request> {
        (self.request != Request::default()).then_some(self.request)
    }
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
