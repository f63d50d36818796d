//! Groups, members and licences, and the users that each change queues.

use std::collections::BTreeSet;

use cloudpc_model::{GroupId, ServicePlanId, SkuId, TenantId, Timestamp, UserId};
use cloudpc_store::{Group, LicenseHolder, NoUnitsLeft, Reader, StoreError, Subscription, User, UserProfile};
use uuid::Uuid;

use crate::fixture::{Book, OTHER_TENANT, TENANT};

const GROUP: GroupId = GroupId(Uuid::from_u128(0x61));
const OTHER_GROUP: GroupId = GroupId(Uuid::from_u128(0x62));
const SKU: SkuId = SkuId(Uuid::from_u128(0x51));
const PLAN: ServicePlanId = ServicePlanId(Uuid::from_u128(0x71));
const OF_GROUP: LicenseHolder = LicenseHolder::Group(GROUP);

fn user(number: u128) -> UserId {
    UserId(Uuid::from_u128(number))
}

fn group(tenant_id: TenantId, id: GroupId) -> Group {
    Group {
        tenant_id,
        id,
        display_name: "Finance".into(),
        description: None,
        mail_nickname: "finance".into(),
        mail_enabled: false,
        security_enabled: true,
        created_at: Timestamp(1),
    }
}

/// Users 1 to 9 and two groups in each of two tenants, and a subscription of `units` in the first.
fn directory(units: u32) -> Book {
    let book = Book::new();
    book.write(move |tx| {
        for tenant_id in [TENANT, OTHER_TENANT] {
            for number in 1..10 {
                tx.user_put(&User {
                    tenant_id,
                    id: user(number),
                    user_principal_name: format!("user{number}@contoso.test"),
                    display_name: String::new(),
                    password_hash: None,
                    roles: Vec::new(),
                    permissions: Vec::new(),
                    enabled: true,
                    profile: UserProfile { department: Some("Finance".into()), ..UserProfile::default() },
                    created_at: Some(Timestamp(1)),
                })?;
            }
            tx.group_put(&group(tenant_id, GROUP))?;
            tx.group_put(&group(tenant_id, OTHER_GROUP))?;
        }
        tx.subscription_put(&subscription(units), Timestamp(1))
    })
    .unwrap();
    book
}

fn subscription(units: u32) -> Subscription {
    Subscription { tenant_id: TENANT, sku_id: SKU, service_plan_id: PLAN, sku_part_number: "CPC_E".into(), units }
}

fn join(book: &Book, group: GroupId, members: &'static [(u128, i64)]) {
    book.write(move |tx| {
        for (number, at) in members {
            assert!(tx.group_member_insert(TENANT, group, user(*number), Timestamp(*at))?);
        }
        Ok(())
    })
    .unwrap();
}

fn assign(book: &Book, holder: LicenseHolder, at: i64) -> Result<(), NoUnitsLeft> {
    book.write(move |tx| tx.license_assign(TENANT, SKU, holder, Timestamp(at))).unwrap()
}

/// Who has a licence.
fn licensed(book: &Book) -> Vec<u128> {
    let has = |reader: &Reader<'_>, number: u128| {
        Ok::<_, StoreError>(!reader.user_licenses(TENANT, user(number))?.is_empty())
    };
    book.read(move |reader| {
        let mut found = Vec::new();
        for number in 1..10 {
            if has(reader, number)? {
                found.push(number);
            }
        }
        assert_eq!(reader.subscription_consumed_units(TENANT, SKU)?, found.len() as u64);
        Ok(found)
    })
}

/// Empties the queue; returns who was in it.
fn queued(book: &Book) -> Vec<u128> {
    book.write(|tx| {
        let next = tx.provisioning_queue_next(99)?;
        for entry in &next {
            tx.provisioning_queue_remove(entry.tenant_id, entry.user_id)?;
        }
        Ok(next.iter().map(|entry| entry.user_id.0.as_u128()).collect::<BTreeSet<_>>().into_iter().collect())
    })
    .unwrap()
}

#[test]
fn users_keep_their_profile_and_are_listed_in_pages() {
    let book = directory(0);
    book.read(|reader| {
        let first = reader.user_list(TENANT, None, 4)?;
        let rest = reader.user_list(TENANT, first.last().map(|last| last.id), 99)?;
        assert_eq!((first.len(), rest.len(), reader.user_count(TENANT)?), (4, 5, 9));
        assert_eq!(first[0].profile.department.as_deref(), Some("Finance"));
        assert_eq!(first[0].created_at, Some(Timestamp(1)));
        Ok(())
    });
}

#[test]
fn members_are_listed_in_pages_and_kept_apart_by_tenant() {
    let book = directory(0);
    join(&book, GROUP, &[(3, 5), (1, 6), (2, 7)]);
    let again = book.write(|tx| tx.group_member_insert(TENANT, GROUP, user(1), Timestamp(9))).unwrap();
    assert!(!again);
    book.read(|reader| {
        let ids = |members: Vec<User>| members.iter().map(|user| user.id.0.as_u128()).collect::<Vec<_>>();
        assert_eq!(ids(reader.group_member_list(TENANT, GROUP, None, 2)?), [1, 2]);
        assert_eq!(ids(reader.group_member_list(TENANT, GROUP, Some(user(2)), 2)?), [3]);
        assert_eq!(reader.group_member_count(TENANT, GROUP)?, 3);
        assert_eq!(reader.group_member_since(TENANT, GROUP, user(1))?, Some(Timestamp(6)));
        assert_eq!(reader.user_groups(TENANT, user(1))?, [group(TENANT, GROUP)]);
        assert_eq!(reader.group_list(TENANT, Some(GROUP), 9)?, [group(TENANT, OTHER_GROUP)]);
        assert_eq!(reader.group_count(TENANT)?, 2);
        assert_eq!(reader.group_member_count(OTHER_TENANT, GROUP)?, 0);
        assert!(reader.user_groups(OTHER_TENANT, user(1))?.is_empty());
        Ok(())
    });
}

#[test]
fn units_go_to_the_oldest_memberships_and_then_to_those_who_wait() {
    let book = directory(2);
    join(&book, GROUP, &[(3, 5), (1, 6), (2, 6)]);
    assign(&book, OF_GROUP, 7).unwrap();
    assert_eq!(licensed(&book), [1, 3], "3 is the oldest member, and 1 comes before 2");
    queued(&book);

    assert!(book.write(|tx| tx.group_member_delete(TENANT, GROUP, user(3), Timestamp(8))).unwrap());
    assert_eq!(licensed(&book), [1, 2]);
    assert_eq!(queued(&book), [2, 3], "the one who lost a licence and the one who got it");

    join(&book, GROUP, &[(3, 9)]);
    assert_eq!(licensed(&book), [1, 2], "a unit is kept by who has it");
    book.write(|tx| tx.subscription_put(&subscription(9), Timestamp(10))).unwrap();
    assert_eq!(licensed(&book), [1, 2, 3]);
}

#[test]
fn fewer_units_than_users_have_are_not_taken_back_and_nobody_gets_one_until_enough_are_free() {
    let book = directory(3);
    join(&book, GROUP, &[(1, 5), (2, 6), (3, 7)]);
    assign(&book, OF_GROUP, 8).unwrap();
    book.write(|tx| tx.subscription_put(&subscription(1), Timestamp(9))).unwrap();
    assert_eq!(licensed(&book), [1, 2, 3], "consumed units exceed the enabled ones");
    assert_eq!(assign(&book, LicenseHolder::User(user(4)), 10), Err(NoUnitsLeft));
    join(&book, GROUP, &[(5, 10)]);
    queued(&book);

    let leave = |number| book.write(move |tx| tx.group_member_delete(TENANT, GROUP, user(number), Timestamp(11)));
    assert!(leave(1).unwrap() && leave(2).unwrap());
    assert_eq!((licensed(&book), queued(&book)), (vec![3], vec![1, 2]), "as many as there are units");
    assert!(leave(3).unwrap());
    assert_eq!((licensed(&book), queued(&book)), (vec![5], vec![3, 5]), "the next in line");
}

#[test]
fn a_licence_through_a_group_needs_no_second_unit_and_ends_with_the_last_entitlement() {
    let book = directory(1);
    join(&book, GROUP, &[(1, 5)]);
    join(&book, OTHER_GROUP, &[(1, 5)]);
    for holder in [OF_GROUP, LicenseHolder::Group(OTHER_GROUP), LicenseHolder::User(user(1))] {
        assign(&book, holder, 6).unwrap();
        assign(&book, holder, 7).unwrap();
    }
    assert_eq!(assign(&book, LicenseHolder::User(user(2)), 8), Err(NoUnitsLeft));
    let read = book.read(|reader| reader.license_assignments(TENANT, LicenseHolder::User(user(2))));
    assert!(read.is_empty(), "a refused assignment leaves nothing");

    let unassign = |holder| book.write(move |tx| tx.license_unassign(TENANT, SKU, holder, Timestamp(9))).unwrap();
    assert!(unassign(OF_GROUP) && unassign(LicenseHolder::User(user(1))));
    assert!(!unassign(OF_GROUP));
    assert_eq!(licensed(&book), [1]);
    book.write(|tx| tx.group_delete(TENANT, OTHER_GROUP, Timestamp(9))).unwrap();
    assert!(licensed(&book).is_empty());
    assign(&book, LicenseHolder::User(user(2)), 9).unwrap();
    assert_eq!(licensed(&book), [2]);
    let licences = book.read(|reader| reader.user_licenses(TENANT, user(2)));
    assert_eq!((licences[0].service_plan_id, licences[0].sku_id, licences[0].since), (PLAN, SKU, Timestamp(9)));
}

#[test]
fn tenants_take_turns_in_the_queue() {
    let book = directory(9);
    let put = |tenant, users: &'static [u128], at| {
        book.write(move |tx| {
            let users: Vec<_> = users.iter().map(|number| user(*number)).collect();
            tx.provisioning_queue_put(tenant, &users, Timestamp(at))
        })
        .unwrap();
    };
    put(TENANT, &[3, 4], 1);
    put(TENANT, &[1, 2], 2);
    put(OTHER_TENANT, &[5], 3);
    let turn = |after, limit| {
        let queued = book.read(move |reader| reader.provisioning_queue_turn(after, limit));
        queued.into_iter().map(|entry| (entry.tenant_id, entry.user_id)).collect::<Vec<_>>()
    };
    let first = [3, 4, 1].map(|number| (TENANT, user(number)));
    assert_eq!(turn(None, 3), first, "those who have waited longest");
    assert_eq!(turn(Some(TENANT), 3), [(OTHER_TENANT, user(5))]);
    assert_eq!(turn(Some(OTHER_TENANT), 3), []);
}

#[test]
fn every_change_queues_the_users_whom_it_touches_once() {
    let book = directory(9);
    join(&book, GROUP, &[(1, 5), (2, 5), (3, 5)]);
    assert_eq!(queued(&book), [1, 2, 3]);
    assign(&book, OF_GROUP, 6).unwrap();
    book.write(|tx| tx.provisioning_queue_put_members(TENANT, GROUP, Timestamp(7))).unwrap();
    let next = book.read(|reader| reader.provisioning_queue_next(2));
    let places: Vec<_> = next.iter().map(|entry| (entry.user_id, entry.queued_at)).collect();
    assert_eq!(places, [(user(1), Timestamp(6)), (user(2), Timestamp(6))], "who is queued keeps the place");
    assert_eq!(queued(&book), [1, 2, 3]);

    assign(&book, LicenseHolder::User(user(4)), 8).unwrap();
    assert_eq!(queued(&book), [4]);
    book.write(|tx| tx.license_unassign(TENANT, SKU, OF_GROUP, Timestamp(9))).unwrap();
    assert_eq!(queued(&book), [1, 2, 3]);
    assert!(book.write(|tx| tx.user_delete(TENANT, user(1), Timestamp(9))).unwrap());
    assert_eq!(queued(&book), [1]);
    book.write(|tx| tx.group_delete(TENANT, GROUP, Timestamp(9))).unwrap();
    assert_eq!(queued(&book), [2, 3]);
    assert_eq!(book.read(|reader| reader.group_member_count(TENANT, GROUP)), 0);
}

#[test]
fn units_are_neither_exceeded_nor_left_while_someone_waits() {
    let book = directory(3);
    let groups = [GROUP, OTHER_GROUP];
    let mut state = 1_u64;
    let mut pick = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for at in 10..300 {
        let (what, number, which) = (pick(6), u128::from(pick(6) + 1), usize::from(pick(2) == 1));
        let (id, group, now) = (user(number), groups[which], Timestamp(at));
        book.write(move |tx| match what {
            0 => tx.group_member_insert(TENANT, group, id, now).map(drop),
            1 => tx.group_member_delete(TENANT, group, id, now).map(drop),
            2 => tx.license_assign(TENANT, SKU, LicenseHolder::User(id), now).map(drop),
            3 => tx.license_unassign(TENANT, SKU, LicenseHolder::User(id), now).map(drop),
            4 => tx.license_assign(TENANT, SKU, LicenseHolder::Group(group), now).map(drop),
            _ => tx.license_unassign(TENANT, SKU, LicenseHolder::Group(group), now).map(drop),
        })
        .unwrap();
        let has = licensed(&book);
        let entitled: Vec<_> = book.read(move |reader| {
            let mut entitled = Vec::new();
            for number in 1..10 {
                let mut holders = vec![LicenseHolder::User(user(number))];
                holders.extend(
                    reader.user_groups(TENANT, user(number))?.iter().map(|group| LicenseHolder::Group(group.id)),
                );
                for holder in holders {
                    if !reader.license_assignments(TENANT, holder)?.is_empty() {
                        entitled.push(number);
                        break;
                    }
                }
            }
            Ok(entitled)
        });
        assert!(has.iter().all(|number| entitled.contains(number)), "{at}: {has:?} of {entitled:?}");
        assert_eq!(has.len(), entitled.len().min(3), "{at}: {has:?} of {entitled:?}");
    }
}
