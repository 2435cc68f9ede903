//! `commun.v1.Agency`: what an agency's client calls.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use commun_domain::{Refusal, WireCode};
use commun_proto::status::{refusal_to_bytes, to_status};
use commun_proto::v1;
use futures::{Stream, StreamExt};
use tonic::{Request, Response, Status};

use super::access::peer;
use super::{agency_of, call};
use crate::app::{App, Event, Explained};

/// Most `Submit` streams of one agency at once. The attempts behind them have a limit of their own.
pub(super) const MAX_STREAMS_PER_AGENCY: usize = 32;

/// See the module.
pub(super) struct Handler {
    app: Arc<App>,
    streams: Streams,
}

impl Handler {
    pub(super) fn new(app: Arc<App>) -> Self {
        Self { app, streams: Streams::default() }
    }
}

#[tonic::async_trait]
impl v1::agency_server::Agency for Handler {
    type SubmitStream = Pin<Box<dyn Stream<Item = Result<v1::QueryEvent, Status>> + Send>>;

    async fn catalog(&self, request: Request<v1::CatalogRequest>) -> Result<Response<v1::CatalogReply>, Status> {
        let agency = agency_of(&peer(&request)?)?;
        let (numbers, entries) = call(&self.app, move |app| app.catalog(&agency)).await?.into_iter().unzip();
        Ok(Response::new(v1::CatalogReply { entries, numbers }))
    }

    async fn explain(&self, request: Request<v1::ExplainRequest>) -> Result<Response<v1::ExplainReply>, Status> {
        let agency = agency_of(&peer(&request)?)?;
        let query = request.into_inner().query;
        let explained = call(&self.app, move |app| app.explain(&agency, &query)).await?;
        Ok(Response::new(explain_reply(explained)))
    }

    async fn submit(&self, request: Request<v1::SubmitRequest>) -> Result<Response<Self::SubmitStream>, Status> {
        let agency = agency_of(&peer(&request)?)?;
        let place = self.streams.enter(&agency).map_err(|refusal| to_status(&refusal))?;
        let feed = self.app.submit(&agency, request.into_inner().query).await.map_err(|refusal| to_status(&refusal))?;
        let events = feed.listen().map(move |event| {
            // The place is given back when the stream is dropped.
            let _ = &place;
            Ok(query_event(event))
        });
        Ok(Response::new(Box::pin(events)))
    }
}

fn explain_reply(explained: Explained) -> v1::ExplainReply {
    let count = |number| u32::try_from(number).unwrap_or(u32::MAX);
    v1::ExplainReply {
        plan: explained.plan.as_bytes().to_vec(),
        price_rho_units: explained.price.units(),
        delta_conv_units: explained.delta_conv.units(),
        budgets: explained
            .budgets
            .into_iter()
            .map(|left| v1::PartitionBudget {
                partition: left.partition,
                contract_left_rho_units: left.contract.rho.units(),
                permit_left_rho_units: left.permit.rho.units(),
                contract_left_delta_units: left.contract.delta.units(),
                permit_left_delta_units: left.permit.delta.units(),
            })
            .collect(),
        margins: explained
            .margins
            .into_iter()
            .map(|(name, margin_95)| {
                let rank_margin_95 = explained.ranks.iter().find(|(other, _)| *other == name).map(|(_, margin)| *margin);
                v1::OutputMargin { name, margin_95, rank_margin_95 }
            })
            .collect(),
        cells: explained.cells,
        holders_listed: count(explained.listed),
        holders_connected: count(explained.connected),
        stored: explained.stored,
    }
}

fn query_event(event: Event) -> v1::QueryEvent {
    use v1::query_event::Event as Wire;
    let wire = match event {
        Event::Progress { step, message, elapsed_ms, done, total } => {
            Wire::Progress(v1::Progress { step: step.as_str().to_owned(), message, elapsed_ms, done, total })
        }
        Event::Released { release, stored } => Wire::Released(v1::Released { release: release.to_vec(), stored }),
        Event::Failed { refusal, charged } => Wire::Failed(v1::QueryFailed { refusal: refusal_to_bytes(&refusal), charged }),
    };
    v1::QueryEvent { event: Some(wire) }
}

/// Open streams by agency.
#[derive(Clone, Default)]
struct Streams(Arc<Mutex<HashMap<String, usize>>>);

/// One open stream's place.
struct Place {
    streams: Streams,
    agency: String,
}

impl Streams {
    fn enter(&self, agency: &str) -> Result<Place, Refusal> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(agency.to_owned()).or_default();
        if *count >= MAX_STREAMS_PER_AGENCY {
            return Err(Refusal::new(
                WireCode::Unavailable,
                format!("the agency has {MAX_STREAMS_PER_AGENCY} queries open already"),
                "wait for one of them to end; a closed stream's query goes on, and its outcome stays",
            ));
        }
        *count += 1;
        Ok(Place { streams: self.clone(), agency: agency.to_owned() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.streams.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.agency) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.agency);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn an_agency_has_a_bounded_number_of_streams_and_no_other_agency_loses_by_it() {
        let streams = Streams::default();
        let mut places: Vec<_> = (0..MAX_STREAMS_PER_AGENCY).map(|_| streams.enter("statbel").unwrap()).collect();
        assert_eq!(streams.enter("statbel").err().unwrap().code, WireCode::Unavailable);
        assert!(streams.enter("iweps").is_ok());
        places.pop();
        assert!(streams.enter("statbel").is_ok());
        drop(places);
        assert!(streams.0.lock().unwrap().is_empty());
    }
}
