"""Nobody is counted in a window that began after him.

An admission's time is when its call began. Where it then waited for a window's row while another call turned it, it was
counted in the new window though it was admitted in the old one, which may have been full: by the time of admission the
old window got more than the limit allows. Such a call begins anew. A window that begins in the future is another thing:
the clock was put back, and then it is taken as it is. The condition costs nothing where it does not hold.
"""

from django.db import migrations

BEGIN_ANEW = """
create function billing_begin_anew() returns trigger language plpgsql as $$
begin
    if old.starts_at <= clock_timestamp() then
        raise exception 'a window was turned while this call waited for it' using errcode = 'serialization_failure';
    end if;
    return new;
end $$;
create trigger nobody_is_counted_in_a_later_window before update on billing_limit_window for each row
    when (new.used > old.used and new.starts_at = old.starts_at and old.starts_at > now())
    execute function billing_begin_anew();
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0007_engine_refused_is_valid")]
    operations = [migrations.RunSQL(BEGIN_ANEW, migrations.RunSQL.noop)]
