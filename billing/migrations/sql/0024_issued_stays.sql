-- What was issued stays as it is (I7): invoices, their lines and files, and payments only grow, for the owner of the tables too.
create trigger refuse_change before update or delete on billing_invoice for each row execute function billing_refuse_change();
create trigger refuse_change before update or delete on billing_invoiceline for each row execute function billing_refuse_change();
create trigger refuse_change before update or delete on billing_invoicefile for each row execute function billing_refuse_change();
create trigger refuse_change before update or delete on billing_payment for each row execute function billing_refuse_change();
select billing_make_append_only('billing_invoice', false);
select billing_make_append_only('billing_invoiceline', false);
select billing_make_append_only('billing_invoicefile', false);
select billing_make_append_only('billing_payment', false);
grant insert on billing_invoice, billing_invoiceline, billing_invoicefile, billing_payment to beffroi_app;

-- An invoice has as many lines as it says, and gets no other later.
create function billing_refuse_line() returns trigger language plpgsql as $$
begin
    if new.position < 1 or new.position > (select line_count from billing_invoice where id = new.invoice_id) then
        raise exception 'invoice % has no line %', new.invoice_id, new.position using errcode = 'insufficient_privilege';
    end if;
    return new;
end $$;
create trigger refuse_line before insert on billing_invoiceline for each row execute function billing_refuse_line();

-- A month that is closed stays closed, and says for ever of which time it was.
create function billing_refuse_reopening() returns trigger language plpgsql as $$
begin
    raise exception 'the month % of tenant % is closed: % refused', old.month, old.tenant_id, tg_op using errcode = 'insufficient_privilege';
end $$;
create trigger refuse_reopening before update or delete on billing_closing
    for each row when (old.state = 'issued') execute function billing_refuse_reopening();
create trigger refuse_truncate before truncate on billing_closing execute function billing_refuse_change();

-- Numbers go up by one: never back, and none is left out.
create function billing_refuse_gap() returns trigger language plpgsql as $$
begin
    if tg_op <> 'UPDATE' or new.code <> old.code or new.last <> old.last + 1 then
        raise exception 'numbers of series % follow each other: % refused', old.code, tg_op using errcode = 'insufficient_privilege';
    end if;
    return new;
end $$;
create trigger refuse_gap before update or delete on billing_invoiceseries for each row execute function billing_refuse_gap();
