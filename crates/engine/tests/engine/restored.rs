//! A restored database with newer machines: action numbers are reused, and no action may mistake
//! the work of a lost one for its own.

use cloudpc_drivers::Driver;
use cloudpc_model::Params;

use crate::undo::REPROVISION;
use crate::world::TestEngine;

#[tokio::test]
async fn reprovision_after_a_database_restore_creates_a_new_disk() {
    let (mut world, id) = TestEngine::started(1).await;
    let backup = world.back_up();
    let lost = world.done(id, REPROVISION).await;
    world.write_marker(id, "the last user's").await;
    let aside = world.tag(lost).await;

    world.restore(backup).await;
    let again = world.done(id, REPROVISION).await;
    assert_eq!(again, lost, "the number is reused");
    assert_eq!(world.marker(id).await, None, "the disk is a new one");
    assert_eq!(world.asides(id).await, [aside.0, world.tag(again).await.0], "both old disks are kept");
}

#[tokio::test]
async fn reboot_after_a_database_restore_reboots_again() {
    let (mut world, id) = TestEngine::started(2).await;
    let backup = world.back_up();
    let lost = world.done(id, Params::Reboot).await;
    let boots = world.driver.observe(id).await.unwrap().boots;

    world.restore(backup).await;
    assert_eq!(world.done(id, Params::Reboot).await, lost, "the number is reused");
    assert_eq!(world.driver.observe(id).await.unwrap().boots, boots + 1);
}
